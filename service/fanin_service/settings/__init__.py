"""Settings: their fields, their types, and where they are read from."""

from fanin_service.settings.settings import PREFIX, Settings, SettingsError, variable

__all__ = ["PREFIX", "Settings", "SettingsError", "variable"]
