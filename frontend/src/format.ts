// Numbers, sizes and times for people.
const whole = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const few = new Intl.NumberFormat("en", { maximumFractionDigits: 1 });
const short = new Intl.NumberFormat("en", { maximumSignificantDigits: 4 });
const relative = new Intl.RelativeTimeFormat("en", { numeric: "auto" });

export const count = (n: number): string => whole.format(n);
export const figure = (n: number): string => (Number.isInteger(n) ? whole.format(n) : short.format(n));

export function size(bytes: number): string {
  if (bytes < 1000) return `${whole.format(bytes)} B`;
  if (bytes < 1000 * 1024) return `${few.format(bytes / 1024)} KiB`;
  if (bytes < 1000 * 1024 ** 2) return `${few.format(bytes / 1024 ** 2)} MiB`;
  return `${few.format(bytes / 1024 ** 3)} GiB`;
}

export function duration(seconds: number): string {
  if (seconds < 0.1) return "< 0.1 s";
  if (seconds < 10) return `${few.format(seconds)} s`;
  if (seconds < 60) return `${whole.format(seconds)} s`;
  const all = Math.round(seconds);
  if (all < 3600) return `${Math.floor(all / 60)} min ${all % 60} s`;
  return `${Math.floor(all / 3600)} h ${Math.floor((all % 3600) / 60)} min`;
}

/** A share between 0 and 1 as a percentage. Only 0 is shown as 0 %, and only 1 as 100 %. */
export function share(part: number): string {
  if (part > 0 && part < 0.001) return "< 0.1 %";
  if (part > 0.999 && part < 1) return "> 99.9 %";
  return `${few.format(part * 100)} %`;
}

const UNITS: [Intl.RelativeTimeFormatUnit, number][] = [
  ["day", 86_400],
  ["hour", 3600],
  ["minute", 60],
  ["second", 1],
];

export function ago(iso: string, now: number): string {
  const seconds = Math.min(0, (Date.parse(iso) - now) / 1000);
  for (const [unit, length] of UNITS) {
    if (-seconds >= length || unit === "second") return relative.format(Math.trunc(seconds / length), unit);
  }
  return iso;
}

/** The date, and the time unless it is midnight, in UTC like the rows. */
export function moment(millis: number): string {
  const iso = new Date(millis).toISOString();
  return iso.endsWith("T00:00:00.000Z") ? iso.slice(0, 10) : iso.slice(0, 19).replace("T", " ");
}

/** An interval in ISO 8601, start/end. */
export const span = (interval: string): string =>
  interval
    .split("/")
    .map((iso) => moment(Date.parse(iso)))
    .join(" – ");

/** A random UUID. crypto.randomUUID is missing on pages without TLS. */
export function uuid(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  bytes[6] = ((bytes[6] ?? 0) & 0x0f) | 0x40;
  bytes[8] = ((bytes[8] ?? 0) & 0x3f) | 0x80;
  const hex = Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
  return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join("-");
}
