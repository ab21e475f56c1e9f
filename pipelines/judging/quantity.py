r"""Reading a number with what belongs to it: sign, thousands, fraction, power of ten, percent, currency, unit.

`quantity("about $1,200.50")`, `quantity("\\frac{3}{4}\\text{ cm}")`, `quantity("twenty-five")`. Values are exact
fractions, so nothing is equal by accident of binary floating point. Sizes are bounded before anything is computed.
"""

import re
from fractions import Fraction
from functools import lru_cache
from typing import Final

import msgspec

from pipelines.judging.normalise import TENS, UNITS, plain

_MAX_TEXT: Final = 200
_MAX_DIGITS: Final = 60
_MAX_EXPONENT: Final = 300
_SCALES: Final = {"hundred": 10**2, "thousand": 10**3, "million": 10**6, "billion": 10**9, "trillion": 10**12,
                  "万": 10**4, "亿": 10**8, "mn": 10**6, "bn": 10**9}  # fmt: skip
_CURRENCY: Final = {"$": "usd", "dollar": "usd", "usd": "usd", "€": "eur", "euro": "eur", "eur": "eur", "£": "gbp",
                    "pound sterling": "gbp", "¥": "yen", "yen": "yen", "₹": "inr", "rupee": "inr", "元": "cny",
                    "yuan": "cny"}  # fmt: skip
_DIMENSIONS: Final = {
    "length": {"mm": "1/1000", "millimeter": "1/1000", "cm": "1/100", "centimeter": "1/100", "dm": "1/10", "m": "1",
               "meter": "1", "km": "1000", "kilometer": "1000", "inch": "127/5000", "in": "127/5000",
               "ft": "381/1250", "foot": "381/1250", "yard": "1143/1250", "yd": "1143/1250", "mile": "201168/125",
               "米": "1", "厘米": "1/100", "千米": "1000", "公里": "1000"},
    "mass": {"mg": "1/1000000", "g": "1/1000", "gram": "1/1000", "kg": "1", "kilogram": "1", "ton": "1000",
             "tonne": "1000"},
    "time": {"ms": "1/1000", "s": "1", "sec": "1", "second": "1", "min": "60", "minute": "60", "h": "3600",
             "hr": "3600", "hour": "3600", "day": "86400", "week": "604800"},
    "volume": {"ml": "1/1000000", "milliliter": "1/1000000", "l": "1/1000", "liter": "1/1000"},
    "money": {"cent": "1/100", "¢": "1/100", "usd": "1"},
    "angle": {"degree": "1", "°": "1", "deg": "1", "度": "1"},
}  # fmt: skip
_COMPOUND: Final = {"mph": "mile/h", "kph": "km/h", "kmh": "km/h"}
_WORDS_OF_MEASURE: Final = frozenset(
    ("dozen", "pair", "couple", "month", "year", "decade", "century", "pound", "lb", "ounce", "gallon", "quart",
     "pint", "acre", "hectare", "joule", "calorie", "kcal", "watt", "volt", "pascal", "newton", "hertz", "celsius",
     "fahrenheit", "kelvin", "radian", "degree celsius", "degree fahrenheit", "degree c", "degree f", "knot")
)  # fmt: skip
_UNIT: Final = {
    name: (dimension, Fraction(size))
    for dimension, units in _DIMENSIONS.items()
    for name, size in units.items()
}

_LATEX: Final = (  # what is in each text that the pattern matches, which is cheaper to look for
    (r",\!", re.compile(r",\\!\s*(?=\d{3})"), ","),
    ("", re.compile(r"\\left|\\right|\\displaystyle|\\[!,;: ]|~"), " "),
    ("frac", re.compile(r"\\[dtc]frac"), r"\\frac"),
    ("frac", re.compile(r"\\frac\s*(\d)\s*(\d)"), r"\\frac{\1}{\2}"),
    ("frac", re.compile(r"(?<![\w}])(-?)\s*(\d+)\s*\\frac\s*\{(\d+)\}\s*\{(\d+)\}"), r"\1\2 \3/\4"),
    ("frac", re.compile(r"\\frac\s*\{([^{}]{1,40})\}\s*\{([^{}]{1,40})\}"), r"\1/\2"),
    (
        "{",
        re.compile(r"\\(?:text|textnormal|mathrm|mbox|textrm|rm|operatorname)\s*\{([^{}]{0,60})\}"),
        r" \1 ",
    ),
    ("", re.compile(r"\\(?:times|cdot)|[×·]"), "*"),
    ("", re.compile(r"\^\s*\{?\s*\\circ\s*\}?|\\degree|°|º"), " degree "),
    ("{,}", re.compile(r"\{,\}"), ","),
    ("\\", re.compile(r"\\(?=[%$&#])"), ""),
)
_DIGIT: Final = re.compile(r"\d")
_SPECIAL: Final = re.compile(r"[\\~×·°º{]")
_QUALIFIER: Final = re.compile(
    r"^(?:(?:about|around|approximately|approx\.?|roughly|nearly|exactly|only|just|a total of|in total"
    r"|equal to|equals|is|are|was)\s+|[~≈=]\s*)+"
)
_ASSIGNED: Final = re.compile(r"^\\?[a-z]\w{0,10}(?:\([a-z]\))?\s*[=≈]\s*")
_NUMBER: Final = re.compile(
    r"""(?P<sign>[-+]|minus\s+|negative\s+)?\s*(?P<currency>[$€£¥₹])?\s*(?P<sign2>-)?
        (?:(?P<whole>\d+)\s+(?P<above>\d+)\s*/\s*(?P<below>\d+)
          |(?P<top>\d+(?:\.\d+)?)\s*/\s*(?P<bottom>\d+(?:\.\d+)?)
          |(?P<digits>\d{1,3}(?:,\d{3})+(?!\d)|\d{1,3}(?:\ \d{3})+(?!\d)|\d+)?(?P<decimals>\.\d*)?
           (?:\s*\*\s*10\s*\^\s*\{?\s*(?P<power>[-+]?\d+)\s*\}?|e(?P<exponent>[-+]?\d+))?)
        (?!\d)(?P<rest>.*)$""",
    re.VERBOSE | re.DOTALL,
)
_UNIT_TEXT: Final = re.compile(
    r"(?:per\s|/)?[^\W\d_][^\W\d_.'²³]*\.?(?:[ /*-](?:per |of )?[^\W\d_]+){0,4}(?:\s*\^\s*\{?-?\d\}?)?|[°¢%]"
)


class Quantity(msgspec.Struct, frozen=True, gc=False):
    """An exact value, how many decimals it was written with, and what stood around it."""

    value: Fraction
    decimals: int = 0
    percent: bool = False
    unit: str = ""
    scale: Fraction = Fraction(1)
    """What its digits were multiplied by (a power of ten, `million`); 0 for a fraction."""

    @property
    def step(self) -> Fraction:
        """What one more in its last place would add; 0 for a fraction."""
        return self.scale / Fraction(10**self.decimals) if self.decimals else self.scale

    def shown(self) -> str:
        """A compact form for people: `3/4`, `12 cm`, `50%`."""
        number = str(self.value)
        return number + ("%" if self.percent else f" {self.unit}" if self.unit else "")


def tidy(text: str) -> str:
    """Plain spelling of a short LaTeX or text number: `\\frac{3}{4}\\text{ cm}` becomes `3/4 cm`."""
    text = (
        text.replace("\x0crac", r"\frac").replace("\text{", r"\text{").replace("\x08oxed", r"\boxed")
    )  # escapes read twice
    if _SPECIAL.search(text):
        for part, pattern, replacement in _LATEX:
            if part in text:
                text = pattern.sub(replacement, text)
    text = plain(text.replace("$", " ") if text.count("$") % 2 == 0 and "\\" in text else text)
    return text[1:-1] if text[:1] == "{" and text[-1] == "}" and len(text) > 1 else text


@lru_cache(maxsize=65536)
def quantity(text: str) -> Quantity | None:
    """The number that a text is, as a whole; None where it is anything else (a range, an expression, a sentence)."""
    if len(text) > _MAX_TEXT:
        return None
    text = tidy(text)
    if "=" in text or "≈" in text:
        text = _ASSIGNED.sub("", text)
    if qualifier := _QUALIFIER.match(text):
        text = text[qualifier.end() :]
    match = _NUMBER.match(text) if _DIGIT.search(text) else None
    if (
        match is None
        or not any(match[name] for name in ("whole", "top", "digits", "decimals"))
        or match["decimals"] == "."
    ):
        return _worded(text)
    value = _value(match)
    if value is None:
        return None
    scale = Fraction(0)
    if not (match["whole"] or match["top"]):
        ten = match["power"] or match["exponent"]
        scale = Fraction(10) ** int(ten) if ten else Fraction(1)
    rest = match["rest"].strip()
    first = rest.split(" ", 1)
    if first[0] in _SCALES:
        scale *= _SCALES[first[0]]
        value, rest = value * _SCALES[first[0]], first[1].strip() if len(first) > 1 else ""
    if match["sign"] in ("-",) or (match["sign"] or "").strip() in ("minus", "negative") or match["sign2"]:
        value = -value
    decimals = len((match["decimals"] or ".")[1:])
    return _with_rest(value, decimals, match["currency"] or "", rest, scale)


def _value(match: re.Match[str]) -> Fraction | None:
    if (
        match.start("rest") - match.start() > _MAX_DIGITS
        and sum(map(len, filter(None, match.groups()[:-1]))) > _MAX_DIGITS
    ):
        return None
    whole, above, below, top, bottom = match.group("whole", "above", "below", "top", "bottom")
    if whole:
        return int(whole) + Fraction(int(above), int(below)) if int(below) else None
    if top:
        divisor = Fraction(bottom)
        return Fraction(top) / divisor if divisor else None
    digits, decimals, power, exponent = match.group("digits", "decimals", "power", "exponent")
    digits = (digits or "0").replace(",", "").replace(" ", "")
    decimals = (decimals or ".")[1:]
    ten = int(power or exponent or 0)
    if abs(ten) > _MAX_EXPONENT:
        return None
    value = Fraction(int(digits + decimals), 10 ** len(decimals)) if decimals else Fraction(int(digits))
    return value * Fraction(10) ** ten if ten else value


def _with_rest(
    value: Fraction, decimals: int, symbol: str, rest: str, scale: Fraction = Fraction(1)
) -> Quantity | None:
    """Attach percent, currency or unit; None where what follows is no unit."""
    if rest in ("%", "percent", "per cent", "pct", "percentage"):
        return Quantity(value, decimals, percent=True, scale=scale)
    unit = _CURRENCY.get(symbol, "")
    if rest:
        rest = rest.rstrip(".").strip()
        if not _UNIT_TEXT.fullmatch(rest) or len(rest.split()) > 4:
            return None
        named = singular(rest)
        unit = unit or _CURRENCY.get(named, named)
    return Quantity(value, decimals, unit=unit, scale=scale)


def singular(unit: str) -> str:
    """`metres` and `meter` are one unit."""
    unit = re.sub(r"\s*\^\s*\{?(-?\d)\}?$", r"^\1", unit)
    for prefix, power in (("square ", "^2"), ("sq. ", "^2"), ("sq ", "^2"), ("cubic ", "^3")):
        if unit.startswith(prefix):
            unit = unit[len(prefix) :] + power
    base, mark, power = unit.partition("^")
    base = base.replace("metre", "meter").replace("litre", "liter")
    base = {"inches": "inch", "feet": "foot", "hrs": "hr", "mins": "min", "secs": "sec"}.get(base, base)
    if len(base) > 3 and base.endswith("s") and not base.endswith("ss"):
        base = base[:-1]
    return base + mark + power


def in_base_units(quantity: Quantity) -> tuple[str, Quantity] | None:
    """(dimension, the same in its base unit), or None for a unit that is not known."""
    known = _size(quantity.unit)
    if known is None:
        return None
    dimension, size = known
    return dimension, Quantity(quantity.value * size, quantity.decimals, scale=quantity.scale * size)


@lru_cache(maxsize=4096)
def _size(unit: str) -> tuple[str, Fraction] | None:
    """(dimension, size in base units) of a unit, a power of one, or one divided by another (`km/h`, `g/cm^3`)."""
    powers: dict[str, int] = {}
    size = Fraction(1)
    above, _, below = _COMPOUND.get(unit, unit).replace(" per ", "/").partition("/")
    for part, sign in ((above, 1), (below, -1)) if below else ((above, 1),):
        base, _, power = part.partition("^")
        known = _UNIT.get(base) or _UNIT.get(singular(base))
        if known is None or (power and not power.lstrip("-").isdigit()):
            return None
        exponent = sign * int(power or 1)
        size *= known[1] ** exponent
        dimension, times = ("length", 3) if known[0] == "volume" else (known[0], 1)
        powers[dimension] = powers.get(dimension, 0) + times * exponent
    return " ".join(f"{name}^{power}" for name, power in sorted(powers.items()) if power), size


def is_unknown_measure(unit: str) -> bool:
    """Whether a unit looks like one of measure, not like things that are counted, and cannot be converted here."""
    short = len(unit.partition("^")[0]) <= 3
    return _size(unit) is None and (
        short or "/" in unit or "^" in unit or " per " in unit or unit in _WORDS_OF_MEASURE
    )


def _worded(text: str) -> Quantity | None:
    """`twenty-five`, `one hundred and two`, `two apples`."""
    first = text.split(" ", 1)[0].split("-", 1)[0]
    if first not in UNITS and first not in TENS:
        return None
    total, group, used = 0, 0, 0
    tokens = re.split(r"[ -]+", text)
    for token in tokens:
        if token in UNITS:
            group += UNITS[token]
        elif token in TENS:
            group += TENS[token]
        elif token == "hundred" and used:
            group *= 100
        elif token in _SCALES and used:
            total, group = total + group * _SCALES[token], 0
        elif not (token == "and" and used):
            break
        used += 1
    if not used:
        return None
    return _with_rest(Fraction(total + group), 0, "", " ".join(tokens[used:]))
