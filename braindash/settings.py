"""What a lab has settled for its home: who may do what, where compute runs, colours, regions of its own.

Kept in ``home/settings.yaml``, which people may write by hand as well. A home without the file
has the defaults; a file that cannot be read is never overwritten and never taken for an empty one.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from braindash.config import ExecutorConfig, Home, validate
from braindash.errors import BraindashError, closest
from braindash.files import atomic_write, disk_errors, regular_file

FILE = "settings.yaml"
VERSION = 1
LARGEST = 256 * 1024  # bytes of the file
DEEPEST = 8  # levels of a value in it
MOST_REGIONS = 200
_SHOWN = 120  # characters of a value in a message

Role = Literal["view", "launch", "manage"]  # each may do what those before it may
ROLES: tuple[Role, ...] = get_args(Role)

_HOST = r"[a-z0-9](?:[a-z0-9-]*[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]*[a-z0-9])?)*"
_PERSON = re.compile(rf"[a-z0-9._%+'&/=?^~!#$*-]+@{_HOST}")
_DOMAIN = re.compile(rf"@{_HOST}")
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,39}")


class _Section(BaseModel):
    """Strict, immutable base: an unknown or misspelt key is an error, not a shrug."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def _as_list(value: Any) -> Any:
    """Take one text for a list: names with commas between."""
    if isinstance(value, str):
        return [part.strip() for part in value.split(",") if part.strip()]
    return value


def _people(entries: tuple[str, ...]) -> tuple[str, ...]:
    out = []
    for entry in entries:
        plain = entry.strip().lower()
        # other alphabets have letters that look like these, or that become one of them in lower case
        if not entry.isascii() or not (_PERSON.fullmatch(plain) or _DOMAIN.fullmatch(plain)):
            raise ValueError(f"{_short(entry)} is neither an e-mail address nor @ and a domain")
        out.append(plain)
    return tuple(dict.fromkeys(out))


People = Annotated[tuple[str, ...], BeforeValidator(_as_list), AfterValidator(_people)]


class Access(_Section):
    """Who may do what where people sign in, and what anyone may where nobody does.

    An entry is an e-mail address, or ``@`` and a domain for everybody with an address there.
    """

    view: People = Field((), description="May look at everything.")
    launch: People = Field((), description="May launch, stop, resume and arrange besides.")
    manage: People = Field((), description="May delete runs and change these settings besides.")
    anyone: Role = Field("view", description="What anyone may do at a public address without sign-in.")

    def role_of(self, email: str) -> Role | None:
        """Return the highest role that an address has; None for one that is not on the list, or is no address."""
        plain = email.strip().lower()
        if not email.isascii() or not _PERSON.fullmatch(plain):
            return None
        domain = "@" + plain.partition("@")[2]
        for role in reversed(ROLES):
            people: tuple[str, ...] = getattr(self, role)
            if plain in people or domain in people:
                return role
        return None


class Colours(_Section):
    """Colour maps of every map and heat map, from `braindash.cortex.colour`."""

    sequential: str = Field("viridis", description="Scores.")
    diverging: str = Field("blue_brown", description="Differences.")

    @model_validator(mode="after")
    def _known(self) -> Colours:
        from braindash.cortex.colour import DIVERGING, SEQUENTIAL, check_map

        for role, name in ((SEQUENTIAL, self.sequential), (DIVERGING, self.diverging)):
            try:
                check_map(role, name)
            except BraindashError as error:
                raise ValueError(str(error)) from None
        return self


def _members(members: tuple[str, ...]) -> tuple[str, ...]:
    cleaned = tuple(dict.fromkeys(m.strip() for m in members))
    if not cleaned:
        raise ValueError("a group needs at least one member")
    if any(not m or not m.isprintable() or len(m) > 100 for m in cleaned):
        raise ValueError("a member is a name of 1 to 100 characters")
    return cleaned


class OwnRegion(_Section):
    """A region or a group of regions of the lab's own: parcels, a study's regions, named groups."""

    members: Annotated[tuple[str, ...], BeforeValidator(_as_list), AfterValidator(_members)] = Field(
        max_length=1000, description="Parcels, regions of a study, named groups."
    )
    title: str = Field("", max_length=60, description="What figures call it; its name if empty.")

    @model_validator(mode="before")
    @classmethod
    def _short_form(cls, data: Any) -> Any:
        return {"members": data} if isinstance(data, list | tuple | str) else data


def _region_names(regions: dict[str, OwnRegion]) -> dict[str, OwnRegion]:
    if len(regions) > MOST_REGIONS:
        raise ValueError(f"{len(regions)} regions are more than {MOST_REGIONS}")
    for name in regions:
        if not _NAME.fullmatch(name):
            raise ValueError(f"{_short(name)} is no name: a letter, then at most 39 letters, digits, - and _")
        if name.lower().endswith(("_left", "_right")):
            raise ValueError(f"{name} ends in what chooses a hemisphere; leave _left and _right out")
    return regions


class Settings(_Section):
    """Everything in ``home/settings.yaml``."""

    braindash: Literal[1] = Field(1, description="Version of the file's format.")
    access: Access = Access()
    compute: ExecutorConfig = ExecutorConfig()
    colours: Colours = Colours()
    regions: Annotated[dict[str, OwnRegion], AfterValidator(_region_names)] = {}

    def groups(self) -> dict[str, tuple[str, ...]]:
        """Return the lab's own groups as `braindash.encoding.regions` takes them."""
        return {name: region.members for name, region in self.regions.items()}

    def titles(self) -> dict[str, str]:
        """Return what figures call the lab's own groups."""
        return {name: region.title or name for name, region in self.regions.items()}


# --- the file -------------------------------------------------------------------------------------


def settings_path(home: Home) -> Path:
    """Return where a home's settings are kept."""
    return home.path / FILE


def read_settings(home: Home) -> Settings:
    """Return a home's settings; the defaults where it has no file.

    Raises
    ------
    BraindashError
        For a file that cannot be read, is not valid, or was written by a newer braindash.
    """
    path = settings_path(home)
    try:
        with regular_file(path) as file:
            raw = file.read(LARGEST + 1)
    except FileNotFoundError:
        return Settings()
    except OSError as error:
        raise BraindashError(
            f"The settings {path} cannot be read ({error.strerror or error}).", "Give yourself the right to read them."
        ) from error
    data = parse(raw, str(path))
    version = data.get("braindash", VERSION)
    if isinstance(version, int) and not isinstance(version, bool) and version > VERSION:
        raise BraindashError(
            f"The settings {path} have version {version}; this braindash knows {VERSION}.",
            "Update braindash, or move the file away to begin with the defaults.",
        )
    return checked(data, f"The settings {path}")


def parse(raw: bytes, where: str) -> dict[str, Any]:
    """Read YAML that a stranger may have written: one mapping, plain values, no references, no depth.

    Raises
    ------
    BraindashError
        For anything else.
    """
    import yaml

    def refuse(why: str) -> BraindashError:
        return BraindashError(f"{where} cannot be read ({why}).", "Mend the file, or move it away.")

    if len(raw) > LARGEST:
        raise refuse(f"more than {LARGEST // 1024} kB")
    try:
        text = raw.decode("utf-8-sig")
        depth = 0
        for event in yaml.parse(text, Loader=yaml.SafeLoader):
            if isinstance(event, yaml.AliasEvent):  # a few of these can stand for billions of values
                raise refuse("it refers to a value by * and a name; write the value out")
            depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
            if depth > DEEPEST:
                raise refuse("values inside values inside values")
        _refuse_doubles(yaml.compose(text, Loader=yaml.SafeLoader), refuse)
        data = yaml.safe_load(text)
    except UnicodeDecodeError:
        raise refuse("it is not UTF-8 text") from None
    except (yaml.YAMLError, ValueError, RecursionError, OverflowError) as error:
        mark = getattr(error, "problem_mark", None)
        line = f"line {mark.line + 1}: " if mark is not None else ""
        raise refuse(f"{line}{getattr(error, 'problem', None) or _short(error)}") from None
    if data is None:
        return {}
    if not isinstance(data, dict) or not all(isinstance(k, str) for k in data):
        raise refuse("it is not a list of NAME: VALUE")
    return data


def _refuse_doubles(node: Any, refuse: Any) -> None:
    """Raise where a key is there twice: YAML silently takes the last, which may be the wider right."""
    import yaml

    if isinstance(node, yaml.MappingNode):
        seen = set()
        for key, value in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise refuse(f"line {key.start_mark.line + 1}: a name is a single word")
            if key.value in seen:
                raise refuse(f"line {key.start_mark.line + 1}: {_short(key.value)} is there twice")
            seen.add(key.value)
            _refuse_doubles(value, refuse)
    elif isinstance(node, yaml.SequenceNode):
        for value in node.value:
            _refuse_doubles(value, refuse)


def checked(data: Mapping[str, Any], where: str = "The settings") -> Settings:
    """Return valid settings, or raise one BraindashError that names every mistake."""
    try:
        return validate(Settings, data, where)
    except BraindashError as error:
        what = error.what if len(error.what) <= 600 else error.what[:600] + " …"
        raise BraindashError(what, error.remedy) from None


def write_settings(home: Home, settings: Settings) -> None:
    """Replace a home's settings, whole or not at all.

    Raises
    ------
    BraindashError
        If the disk is full or the home may not be written.
    """
    import yaml

    shown = settings.model_dump(mode="json", exclude_defaults=True) | {"braindash": VERSION}
    ordered = {k: shown[k] for k in Settings.model_fields if k in shown}
    text = "# Settings of this braindash home; docs/settings.md explains them.\n" + yaml.safe_dump(
        ordered, sort_keys=False, allow_unicode=True
    )
    path = settings_path(home)
    with disk_errors(path, "The settings"):
        home.path.mkdir(parents=True, exist_ok=True)
    atomic_write(path, text)


@contextmanager
def one_writer(home: Home) -> Iterator[None]:
    """Hold the lock of those who read, change and write the settings."""
    from filelock import FileLock, Timeout

    folder = home.path / "locks"
    with disk_errors(folder, "The settings' lock"):
        folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / "settings.lock", timeout=10)
    try:
        with disk_errors(folder, "The settings' lock"):
            lock.acquire()
    except Timeout:
        raise BraindashError("Somebody else is changing the settings.", "Try again in a moment.") from None
    try:
        yield
    finally:
        lock.release()


def change(home: Home, **sections: Any) -> Settings:
    """Replace whole sections, as they are in the file now, and write them; return the settings.

    A value is the section, or a function from the present section to the new one.
    """
    with one_writer(home):
        now = read_settings(home)
        data = now.model_dump(mode="python")
        for name, value in sections.items():
            new = value(getattr(now, name)) if callable(value) else value
            if isinstance(new, Mapping):
                new = {k: v.model_dump(mode="python") if isinstance(v, BaseModel) else v for k, v in new.items()}
            data[name] = new.model_dump(mode="python") if isinstance(new, BaseModel) else new
        settings = checked(data)
        write_settings(home, settings)
    return settings


# --- single values --------------------------------------------------------------------------------


def keys() -> list[str]:
    """Return the keys that `with_value` takes, but for the names of regions."""
    out = []
    for name, field in Settings.model_fields.items():
        inner = field.annotation
        if isinstance(inner, type) and issubclass(inner, BaseModel):
            out += [f"{name}.{key}" for key in inner.model_fields]
    return [*out, "regions.NAME"]


def with_value(settings: Settings, key: str, value: Any) -> Settings:
    """Return settings with one value changed, by its dotted key; None gives the default, or removes a region.

    Raises
    ------
    BraindashError
        For an unknown key or a value that is not valid.
    """
    section, dot, name = key.partition(".")
    known = keys()
    if not dot or not name or (section != "regions" and key not in known):
        raise BraindashError(f"There is no setting {_short(key)}.", closest(key, known))
    data = settings.model_dump(mode="python")
    if value is not None:
        data[section][name] = value
    elif section == "regions" and name not in data[section]:
        raise BraindashError(f"There is no region {_short(name)}.", closest(name, data[section]))
    else:
        data[section].pop(name)
    return checked(data, key)


def _short(value: object) -> str:
    text = repr(value) if isinstance(value, str) else str(value)
    text = " ".join(text.split())
    return text if len(text) <= _SHOWN else text[:_SHOWN] + " …"
