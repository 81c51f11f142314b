"""Names of folders, and labels, that look like measurements: 0.25, 10um, T=300K, lambda_532nm."""

import re
from collections.abc import Sequence

_NUMBER = re.compile(r"(?:(?<![^\W_])[-+])?\d*[.,]?\d+(?:e[-+]?\d+)?", re.IGNORECASE)
# Units by what they measure, so that 500nm and 1um are alike.
_UNITS = {
    "length": "pm|å|nm|um|µm|μm|micron|mm|cm|dm|m|km|in|inch|ft|yd|mil|mi|px|pixels",
    "time": "fs|ps|ns|us|µs|μs|ms|s|sec|secs|min|mins|h|hr|hrs|hours|days|weeks|months|yr|yrs|years",
    "temperature": "k|c|f|°|°c|°f|degc|degf|mk",
    "frequency": "hz|khz|mhz|ghz|thz|rpm|fps|bpm",
    "level": "db|dbm|dbz|dba",
    "mass": "ug|µg|μg|mg|g|kg|lb|lbs|oz",
    "volume": "nl|ul|µl|μl|ml|cl|dl|l",
    "voltage": "uv|µv|mv|v|kv|ev|kev|mev|gev|kvp",
    "current": "na|ua|µa|ma|a|mas",
    "power": "uw|µw|mw|w|kw|lm|lux|lx|cd",
    "pressure": "pa|hpa|kpa|mpa|gpa|bar|mbar|torr|atm|psi",
    "force": "n|mn|kn|j|mj|kj|cal|kcal",
    "field": "ut|mt|tesla|gauss",
    "amount": "pmol|nmol|umol|mmol|mol|ppm|ppb",
    "angle": "deg|degs|degree|degrees|rad|mrad",
    "share": "%|pct|percent|wt%|vol%|at%",
    "other": "x|dpi|ppi|kb|mb|gb|gy|mgy|sv|msv",
}
_GROUP_OF = {unit: group for group, units in _UNITS.items() for unit in units.split("|")}
_UNIT = re.compile(
    rf"[ _]?({'|'.join(sorted(map(re.escape, _GROUP_OF), key=len, reverse=True))})(?![^\W\d_])", re.IGNORECASE
)
# What is measured, before a number without a unit: pH7, angle_30, SNR-5.
_QUANTITY = re.compile(
    r"(?:.*[^a-z])?(temp|temperature|ph|angle|theta|phi|rot|rotation|azimuth|elevation|wavelength|lambda|freq|frequency|"
    r"dose|conc|concentration|pressure|voltage|current|power|exposure|iso|gain|snr|psnr|noise|sigma|alpha|beta|gamma|"
    r"eps|epsilon|speed|velocity|distance|dist|depth|height|width|weight|thickness|diameter|radius|magnification|zoom|"
    r"age|lat|lon)[-_ ]?",
    re.IGNORECASE | re.DOTALL,
)
_KEY = re.compile(r"(?:.*[\W\d_])?([^\W\d_]+) ?=", re.DOTALL)
_CLASS_KEYS = frozenset({"label", "class", "category", "target", "cls", "y"})  # class=3


def are_measurements(names: Sequence[str]) -> bool:
    """Say whether names differ in numbers alone, one of which has a unit, a decimal, a sign, or says what it measures.

    500nm, 1um; T=300K, T=310K; 25C_60min, 37C_60min; pH6.5, pH7; -10, 0, 10. Not 1, 2, 3; class_1; T1w, T2w; 2D, 3D.
    """
    pairs = [(_NUMBER.split(name), _NUMBER.findall(name)) for name in names]
    if not pairs or len({len(numbers) for _, numbers in pairs}) != 1 or not pairs[0][1]:
        return False
    measured = False
    for at in range(len(pairs[0][1])):
        numbers = [each[at] for _, each in pairs]
        if len({*numbers}) > 1:
            measured |= _is_measured(numbers, [texts[at] for texts, _ in pairs], [texts[at + 1] for texts, _ in pairs])
    return measured and len({tuple(map(_without_unit, texts)) for texts, _ in pairs}) == 1


def _is_measured(numbers: Sequence[str], before: Sequence[str], after: Sequence[str]) -> bool:
    """Say whether numbers at one place of all names look like those of measurements."""
    if any(re.search(r"[.,+-]|\de", number, re.IGNORECASE) for number in numbers):
        return True
    if (key := _KEY.fullmatch(before[0])) and key[1].lower() not in _CLASS_KEYS:
        return True
    if _QUANTITY.fullmatch(before[0]):
        return True
    units = [found[0] for text in after if (found := _UNIT.match(text))]
    if len(units) < len(after) or any(len(unit) == 2 and unit[0] in " _" for unit in units):
        return False
    # T1w and stage_2a are names.
    is_odd = bool(before[0]) and (before[0][-1].isalpha() or any(len(unit) == 1 for unit in units))
    return not is_odd or any(len(number) > 1 for number in numbers)


def _without_unit(text: str) -> str:
    """Return the text behind a number with the name of what its unit measures in the place of the unit."""
    found = _UNIT.match(text)
    return (_GROUP_OF[found[1].lower()] + text[found.end() :] if found else text).casefold()
