"""The base of all settings: reading the environment, and refusing what it cannot use."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, ClassVar, Self

from pydantic import AliasChoices, ValidationError
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, SettingsConfigDict

from shared.errors import ConfigError

#: Variables that the client and the command `nukki cut` read.
_CLIENT_VARIABLES = frozenset({"NUKKI_URL", "NUKKI_API_KEY"})
#: Variables of the tests, which no process of the service reads.
_TEST_PREFIX = "NUKKI_TEST_"


class Settings(BaseSettings):
    """A group of settings, or all those of one process, which inherits the groups it needs.

    The field descriptions are the README's table.
    """

    model_config = SettingsConfigDict(
        env_prefix="NUKKI_",
        env_ignore_empty=True,  # compose files pass an unset variable as an empty one
        frozen=True,
        extra="forbid",
        populate_by_name=True,
        allow_inf_nan=False,
    )

    #: Every variable that some process reads. Filled as the classes are defined; `shared.settings`
    #: imports them all, so this is complete before any of them can be loaded.
    known: ClassVar[set[str]] = set(_CLIENT_VARIABLES)

    @classmethod
    def __pydantic_init_subclass__(cls, **kwargs: Any) -> None:
        super().__pydantic_init_subclass__(**kwargs)
        for name, field in cls.model_fields.items():
            cls.known |= {variable(name, field), f"NUKKI_{name.upper()}"}

    @classmethod
    def load(cls, **overrides: object) -> Self:
        """Read the environment; `overrides`, by field name, take precedence.

        Only this class's own settings are checked, so that a bad value of another process's
        setting does no harm here.

        Raises:
            ConfigError: a value is not valid, or a `NUKKI_` or `S3_` variable is none that any
                process reads. The message names each variable and never shows its content.
        """
        _require_known(os.environ, cls.known)
        try:
            return cls(**overrides)  # type: ignore[arg-type]  # pydantic validates them
        except ValidationError as error:
            problems = "; ".join(
                f"{cls._variable_at(item['loc'])}: {item['msg']}"
                for item in error.errors(include_input=False, include_url=False)
            )
            raise ConfigError(f"the configuration is not valid: {problems}") from None

    @classmethod
    def _variable_at(cls, place: tuple[int | str, ...]) -> str:
        """The environment variable in which an error is, and where in its value."""
        first, *rest = map(str, place or ("settings",))
        field = cls.model_fields.get(first)
        return ".".join([first if field is None else variable(first, field), *rest])


def _require_known(environment: Mapping[str, str], known: set[str]) -> None:
    """Refuse a misspelled variable: its setting would silently keep the default."""
    unknown = sorted(
        name
        for name in environment
        if name.startswith(("NUKKI_", "S3_"))
        and not name.startswith(_TEST_PREFIX)
        and name not in known
    )
    if unknown:
        raise ConfigError(f"there is no such setting: {', '.join(unknown)}")


def variable(name: str, field: FieldInfo) -> str:
    """The environment variable that sets a field."""
    if isinstance(field.validation_alias, AliasChoices):
        return str(field.validation_alias.choices[0])
    return f"NUKKI_{name.upper()}"
