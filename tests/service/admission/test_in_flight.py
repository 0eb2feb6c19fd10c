"""The ledger alone: its sums are right for every order in which responses are sent, end or are refused."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, multiple, rule

from fanin_service.admission.errors import OverloadedError, TooMuchInFlightError
from fanin_service.admission.in_flight import Bounds, Grant, Ledger
from fanin_service.recipes.errors import LimitExceededError

EACH, TOTAL = Bounds(streams=3, size=100), Bounds(streams=5, size=150)
CLIENTS = ("a", "b", "c")
Open = tuple[str, Grant]


class Bookkeeping(RuleBasedStateMachine):
    """Takes, sends from and ends grants. A plain list of the open grants gives the right sums."""

    grants: Bundle[Open] = Bundle("grants")

    def __init__(self) -> None:
        super().__init__()
        self.ledger = Ledger(EACH, TOTAL)
        self.open: list[Open] = []

    @rule(target=grants, client=st.sampled_from(CLIENTS), size=st.integers(1, 200))
    def take(self, client: str, size: int) -> Open | object:
        own = [grant.unsent for who, grant in self.open if who == client]
        everyone = [grant.unsent for _, grant in self.open]
        try:
            grant = self.ledger.take(client, size)
        except LimitExceededError:
            assert size > 100
        except TooMuchInFlightError:
            assert len(own) == 3 or sum(own) + size > 100
        except OverloadedError:
            assert len(everyone) == 5 or sum(everyone) + size > 150
        else:
            assert size <= 100
            self.open.append((client, grant))
            return client, grant
        return multiple()

    @rule(held=grants, count=st.integers(0, 250))
    def send(self, held: Open, count: int) -> None:
        held[1].sent(count)

    @rule(held=grants)
    def end_and_go_on(self, held: Open) -> None:
        self.end(held)

    @rule(held=consumes(grants))
    def end(self, held: Open) -> None:
        before = held[1].unsent
        held[1].end()
        assert held[1].unsent == before
        if held in self.open:
            self.open.remove(held)

    @invariant()
    def sums(self) -> None:
        for client in CLIENTS:
            own = [grant.unsent for who, grant in self.open if who == client]
            load = self.ledger.load(client)
            assert (load.streams, load.size) == (len(own), sum(own))
            assert 0 <= load.streams <= 3
            assert 0 <= load.size <= 100
        total = self.ledger.total
        assert (total.streams, total.size) == (len(self.open), sum(grant.unsent for _, grant in self.open))
        assert total.streams <= 5
        assert total.size <= 150

    def teardown(self) -> None:
        for _, grant in reversed(self.open):
            grant.end()
        assert (self.ledger.total.streams, self.ledger.total.size) == (0, 0)
        assert not self.ledger._clients  # a client with nothing in flight takes no memory


TestBookkeeping = Bookkeeping.TestCase
TestBookkeeping.settings = settings(max_examples=100, stateful_step_count=40, deadline=None)
