// Numbers as people read them; the same rules as the report's.

const UP = { "-": "⁻", 0: "⁰", 1: "¹", 2: "²", 3: "³", 4: "⁴", 5: "⁵", 6: "⁶", 7: "⁷", 8: "⁸", 9: "⁹" };

export function number(value) {
  if (value === null || value === undefined) return "–";
  const size = Math.abs(value);
  if (size === 0) return "0";
  if (size < 0.001) {
    const [mantissa, exponent] = value.toExponential(1).split("e");
    return `${mantissa}×10${[...String(Number(exponent))].map((one) => UP[one]).join("")}`;
  }
  if (size < 0.1) return String(Number(value.toPrecision(2)));
  if (size < 10) return value.toFixed(2);
  return size < 100 ? value.toFixed(1) : whole(value);
}

export function whole(value) { return Math.round(value).toLocaleString("en"); }

export function figure(value) { return Number.isInteger(value) ? whole(value) : number(value); }

export function counted(count, one, many) { return count === 1 ? `1 ${one}` : `${count === 0 ? "no" : whole(count)} ${many}`; }

export function clock(seconds) {
  if (!seconds) return "";
  if (seconds < 90) return seconds < 1 ? "under 1 s" : `${Math.round(seconds)} s`;
  return seconds < 5400 ? `${(seconds / 60).toFixed(1)} min` : `${(seconds / 3600).toFixed(1)} h`;
}

export function plain(name) { return name.replaceAll("_", " "); }
