/** JSON laid out for people. Numbers and strings keep their text, so that no seed loses digits. */

const TOKEN = /"(?:[^"\\]|\\.)*"|[{}[\]:,]|[^\s{}[\]:,"]+/g;
/** Characters of a line that the editor shows, beside the plots and on a phone. */
const WIDTH = 64,
  NARROW = 46;

/** Return the text with one member a line where a line would be too long. */
export function pretty(text: string): string {
  const tokens = text.match(TOKEN) ?? [];
  const width = innerWidth > 900 ? WIDTH : NARROW;
  let at = 0;
  /** `used` characters of the line are before the value. */
  const value = (indent: string, used = 0): string => {
    const token = tokens[at++] ?? "";
    if (token !== "{" && token !== "[") return token;
    const close = token === "{" ? "}" : "]",
      inner = `${indent}  `,
      items: string[] = [];
    while (at < tokens.length && tokens[at] !== close) {
      if (tokens[at] === ",") {
        at++;
        continue;
      }
      const first = value(inner);
      if (tokens[at] === ":") {
        at++;
        items.push(`${first}: ${value(inner, first.length + 2)}`);
      } else items.push(first);
    }
    at++;
    if (!items.length) return token + close;
    const line = `${token}${items.join(", ")}${close}`;
    const isShort = indent.length + used + line.length < width && !line.includes("\n") && indent.length > 0;
    return isShort ? line : `${token}\n${items.map((item) => inner + item).join(",\n")}\n${indent}${close}`;
  };
  return value("") + "\n";
}

/** Return the text without spaces between its tokens. */
export const compact = (text: string): string => (text.match(TOKEN) ?? []).join("");
