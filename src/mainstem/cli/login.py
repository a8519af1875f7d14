"""How the commands that talk to a cluster log in: flags, environment, and a file of settings.

Secrets come from the environment, a file, or a prompt, never from the command line: anybody on
the machine could read them there.
"""

from __future__ import annotations

import os
import sys
import tomllib
from contextvars import ContextVar
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import typer
from typer.core import TyperCommand, TyperOption

if TYPE_CHECKING:
    from mainstem.client import Registry, Sasl, Tls

#: Table -> settings in a file given with --client-config; "" is the top of the file.
_SETTINGS: Final = {
    "": {"brokers"},
    "tls": {"ca", "certificate", "key", "key_password", "check_hostname"},
    "sasl": {"mechanism", "username", "password", "password_file", "token_file"},
    "registry": {"url", "username", "password", "password_file", "token_file", "ca"},
}
_PANEL: Final = "Connection and login"
_KEPT: Final = "mainstem.login"
#: The command that runs; typer has its own copy of click, so click does not know.
_RUNNING: ContextVar[Any] = ContextVar("running", default=None)
_FLAGS: Final = (
    ("client_config", "--client-config", "FILE", "MAINSTEM_CLIENT_CONFIG",
     "TOML with brokers = …, [tls], [sasl] and [registry]."),
    ("tls", "--tls", None, None, "Encrypt; trust the system's authorities."),
    ("tls_ca", "--tls-ca", "FILE", "MAINSTEM_TLS_CA", "Encrypt; trust these authorities (PEM)."),
    ("tls_certificate", "--tls-certificate", "FILE", None, "Who we are, for mutual TLS (PEM)."),
    ("tls_key", "--tls-key", "FILE", None, "The certificate's key (PEM)."),
    ("sasl_mechanism", "--sasl-mechanism", "NAME", "MAINSTEM_SASL_MECHANISM",
     "PLAIN, SCRAM-SHA-256, SCRAM-SHA-512 or OAUTHBEARER. [SCRAM-SHA-512 with --username]"),
    ("username", "--username", "NAME", "MAINSTEM_USERNAME",
     "Who logs in; the password from $MAINSTEM_PASSWORD, --password-file, or a prompt."),
    ("password_file", "--password-file", "FILE", None, "Its first line is the password."),
    ("token_file", "--token-file", "FILE", None, "Its text is the token, read at each login."),
)  # fmt: skip


class ClusterCommand(TyperCommand):
    """A command with the options of this module; what they say waits for ``login``."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        for name, flag, metavar, variable, text in _FLAGS:
            switch: Any = {"is_flag": True} if metavar is None else {"metavar": metavar}
            self.params.append(
                TyperOption(
                    param_decls=[flag, name],
                    help=text,
                    envvar=variable,
                    expose_value=False,
                    callback=_keep,
                    rich_help_panel=_PANEL,
                    **switch,
                )
            )


def _keep(context: Any, parameter: Any, value: Any) -> Any:
    _RUNNING.set(context)
    if value not in (None, False):
        context.meta.setdefault(_KEPT, {})[parameter.name] = value
    return value


class Login:
    """What the flags and the file of the running command say."""

    def __init__(self) -> None:
        context = _RUNNING.get()
        self._flags: dict[str, Any] = {} if context is None else context.meta.get(_KEPT, {})
        self._context = context
        path = self._flags.get("client_config")
        self._file = {} if path is None else _read(path)

    def brokers(self, given: str) -> str:
        """The address: a flag or the environment before the file."""
        if self._context is None:
            return given
        source = self._context.get_parameter_source("brokers")
        if source is not None and source.name == "DEFAULT":
            return str(self._file.get("brokers", given))
        return given

    def tls(self) -> Tls | None:
        """Whether and how to encrypt."""
        from mainstem.client import Tls

        found = dict(self._file.get("tls", {}))
        for name in ("ca", "certificate", "key"):
            if f"tls_{name}" in self._flags:
                found[name] = self._flags[f"tls_{name}"]
        wanted = found or "tls" in self._file or self._flags.get("tls")
        return Tls(**found) if wanted else None

    def sasl(self) -> Sasl | None:
        """Who logs in."""
        from mainstem.client import Sasl

        found = dict(self._file.get("sasl", {}))
        names = ("username", "password_file", "token_file")
        found |= {name: self._flags[name] for name in names if name in self._flags}
        if "sasl_mechanism" in self._flags:
            found["mechanism"] = self._flags["sasl_mechanism"]
        if not found:
            return None
        token_file = found.pop("token_file", None)
        usual = "SCRAM-SHA-512" if token_file is None else "OAUTHBEARER"
        mechanism = found.pop("mechanism", usual).upper()
        if mechanism == "OAUTHBEARER":
            if token_file is None:
                raise typer.BadParameter("OAUTHBEARER needs --token-file")
            return Sasl("OAUTHBEARER", token=lambda: _first_line(token_file, "--token-file"))
        if "username" not in found:
            raise typer.BadParameter(f"{mechanism} needs --username")
        password = _password(found, "MAINSTEM_PASSWORD", str(found["username"]))
        return Sasl(mechanism, found["username"], password)

    def registry(self, url: str | None) -> Registry | None:
        """The schema registry of ``--registry``, or of the file."""
        from mainstem.client import Registry, Tls

        found = dict(self._file.get("registry", {}))
        url = url or found.get("url")
        if url is None:
            return None
        options: dict[str, Any] = {}
        user = found.get("username") or os.environ.get("MAINSTEM_REGISTRY_USERNAME")
        token = os.environ.get("MAINSTEM_REGISTRY_TOKEN")
        if "token_file" in found:
            token = _first_line(found["token_file"], "token_file")
        if user is not None:
            password = _password(found, "MAINSTEM_REGISTRY_PASSWORD", user)
            options = {"username": user, "password": password}
        elif token is not None:
            options = {"token": token}
        if "ca" in found:
            options["tls"] = Tls(ca=found["ca"])
        return Registry(url, **options)


def _password(found: dict[str, Any], variable: str, user: str) -> str:
    if "password_file" in found:
        return _first_line(found["password_file"], "--password-file")
    if "password" in found:
        return str(found["password"])
    if variable in os.environ:
        return os.environ[variable]
    if sys.stdin is not None and sys.stdin.isatty():
        return str(typer.prompt(f"Password of {user}", hide_input=True, err=True))
    raise typer.BadParameter(
        f"there is no password for {user!r}: set ${variable}, or give --password-file"
    )


def _first_line(path: str, option: str) -> str:
    try:
        lines = Path(path).expanduser().read_text().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise typer.BadParameter(f"{path} cannot be read: {error}", param_hint=option) from error
    if not lines or not lines[0].strip():
        raise typer.BadParameter(f"{path} is empty", param_hint=option)
    return lines[0].strip()


def _read(path: str) -> dict[str, Any]:
    """The file's settings; those it cannot have are refused with the nearest name."""
    try:
        found = tomllib.loads(Path(path).expanduser().read_text())
    except (OSError, ValueError) as error:
        raise typer.BadParameter(
            f"{path} cannot be read: {error}", param_hint="--client-config"
        ) from error
    for name, value in found.items():
        table = value if isinstance(value, dict) else None
        allowed = _SETTINGS[""] | (_SETTINGS.keys() - {""})
        _check(path, name, allowed)
        if (table is None) != (name in _SETTINGS[""]):
            raise typer.BadParameter(
                f"{path}: {name} must be {'a table' if table is None else 'text'}",
                param_hint="--client-config",
            )
        for inner, setting in (table or {}).items():
            _check(path, inner, _SETTINGS[name], f"{name}.")
            wanted = bool if inner == "check_hostname" else str
            if not isinstance(setting, wanted):
                raise typer.BadParameter(
                    f"{path}: {name}.{inner} must be {wanted.__name__}, it is {setting!r}"
                    if "password" not in inner
                    else f"{path}: {name}.{inner} must be text",
                    param_hint="--client-config",
                )
    return found


def _check(path: str, name: str, allowed: set[str], prefix: str = "") -> None:
    if name not in allowed:
        near = get_close_matches(name, allowed, n=1, cutoff=0.5)
        hint = f"did you mean {prefix}{near[0]}?" if near else f"use {', '.join(sorted(allowed))}"
        raise typer.BadParameter(
            f"{path}: there is no setting {prefix}{name}: {hint}", param_hint="--client-config"
        )
