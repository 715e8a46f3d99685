"""The secrets hook: `decode(value)` turns a reference into a secret, `expand_env(env)` changes the environment."""

import inspect
import sys
from collections.abc import Callable, Mapping
from importlib import import_module
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

from aetherflow.core.base.errors import HookFailedError, UsageError
from aetherflow.core.host.hooks import Hooks

DECODE, EXPAND_ENV = "decode", "expand_env"
DECODE_SECRET = "aetherflow_decode_secret"  # noqa: S105 the name of a hook
WHERE_SET = "check AETHERFLOW_SECRETS_MODULE, AETHERFLOW_SECRETS_PATH and `secrets` in the project file"
NO_HOOK_FIX = (
    "set AETHERFLOW_SECRETS_MODULE or AETHERFLOW_SECRETS_PATH, or secrets.module or secrets.path in the project file, "
    "or install a plugin with the hook aetherflow_decode_secret, or remove decode"
)


def reason_of(error: Exception) -> str:
    """Why a module could not be loaded: type and text of the error; only the type if the text may hold a secret."""
    name = type(error).__name__
    if isinstance(error, SyntaxError):
        return f"{name}: {error.msg} (line {error.lineno})"
    return f"{name}: {error}" if isinstance(error, ImportError | OSError) else name


class SecretsHookError(UsageError):
    """The secrets hook cannot be loaded, is not a valid hook, or failed."""

    code = "AF1701"


class SecretsHook:
    """A loaded secrets module; failures of its functions raise SecretsHookError, which never contains values."""

    def __init__(
        self,
        name: str,
        decode: Callable[[str], str],
        expand_env: Callable[[dict[str, str]], Mapping[str, str]] | None,
    ) -> None:
        self.name = name
        self._decode = decode
        self._expand_env = expand_env

    def decode(self, value: str, reference: str = "") -> str:
        """Decode a value; `reference` is not passed to a secrets module."""
        del reference
        found = self._call(DECODE, self._decode, value)
        if not isinstance(found, str):
            raise SecretsHookError(f"{self.name}: decode returned {type(found).__name__}, not text")
        return found

    def expand_env(self, env: Mapping[str, str]) -> dict[str, str]:
        """The environment that the hook returns; a copy of `env` if it has no `expand_env`."""
        if self._expand_env is None:
            return dict(env)
        found = self._call(EXPAND_ENV, self._expand_env, dict(env))
        wrong = not isinstance(found, Mapping) or any(
            not isinstance(key, str) or not isinstance(value, str) for key, value in found.items()
        )
        if wrong:
            raise SecretsHookError(f"{self.name}: expand_env must return a map from text to text")
        return dict(found)  # type: ignore[call-overload,no-any-return]  # checked above

    def _call(self, what: str, function: Callable[..., object], argument: object) -> object:
        try:
            return function(argument)
        except Exception as error:  # noqa: BLE001 a hook may raise anything
            # the text of a foreign error may hold the secret, so only its type is reported, without a traceback
            message = f"{self.name}: {what} failed with {type(error).__name__}"
            raise SecretsHookError(message, fix="call the function by hand to see why") from None


class PluginSecrets:
    """Installed hook plugins in place of a secrets module: the first answer that is not None is used."""

    def __init__(self, hooks: Hooks) -> None:
        self._hooks = hooks
        self.name = ", ".join(hooks.names(DECODE_SECRET))

    def decode(self, value: str, reference: str = "") -> str:
        """Decode the value at path `reference`. Raises SecretsHookError, which never contains values."""
        try:
            for name, found in self._hooks.decide(DECODE_SECRET, hide=True, value=value, reference=reference):
                if not isinstance(found, str):
                    raise SecretsHookError(f"hook {name}: decode_secret returned {type(found).__name__}, not text")
                return found
        except HookFailedError as error:
            raise SecretsHookError(error.message, fix=error.fix) from None
        message = f"none of the installed hooks decodes it (asked: {self.name})"
        raise SecretsHookError(message, fix="correct the reference, or install the plugin that knows it")


Secrets = SecretsHook | PluginSecrets


def load_secrets_hook(module: str | None, path: str | None, base: Path) -> SecretsHook | None:
    """Load the hook named by AETHERFLOW_SECRETS_MODULE or AETHERFLOW_SECRETS_PATH (the module wins); None without one.

    Raises SecretsHookError when it cannot be imported, lacks `decode`, or defines other public functions.
    """
    if not module and not path:
        return None
    name = module or str(path)
    try:
        loaded = import_module(module) if module else _load_file(base / Path(str(path)).expanduser())
    except SecretsHookError:
        raise
    except Exception as error:  # noqa: BLE001 the module is foreign code
        message = f"secrets hook {name} cannot be loaded: {reason_of(error)}"
        raise SecretsHookError(message, fix=f"correct it, or {WHERE_SET}") from None
    sys.modules["_aetherflow_secrets"] = loaded  # by such a name a process knows that it has executed code of others
    return _check(name, loaded)


def _load_file(path: Path) -> ModuleType:
    spec = spec_from_file_location(f"_aetherflow_secrets_{abs(hash(path))}", path)
    if spec is None or spec.loader is None or not path.is_file():
        raise SecretsHookError(f"secrets hook {path} is not a Python file", fix="name a .py file")
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _check(name: str, module: ModuleType) -> SecretsHook:
    # only functions that the module defines count; `from base64 import b64decode` is not one of them
    own = {
        key: value
        for key, value in vars(module).items()
        if inspect.isfunction(value) and value.__module__ == module.__name__ and not key.startswith("_")
    }
    others = sorted(own.keys() - {DECODE, EXPAND_ENV})
    if others:
        message = f"secrets hook {name} has other public functions: {', '.join(others)}"
        raise SecretsHookError(message, fix="start the names of helpers with _")
    if DECODE not in own:
        raise SecretsHookError(f"secrets hook {name} lacks `decode`", fix="define decode(value: str) -> str")
    return SecretsHook(name, own[DECODE], own.get(EXPAND_ENV))
