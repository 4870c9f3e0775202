"""Base class of the networks: settings of older releases are read, under their new names."""

import warnings
from collections.abc import Mapping
from typing import Any, ClassVar

from diffusers.configuration_utils import ConfigMixin
from diffusers.models.modeling_utils import ModelMixin


class Network(ModelMixin, ConfigMixin):
    """A network whose constructor arguments are saved as config.json beside its weights."""

    OLD_SETTINGS: ClassVar[dict[str, str]] = {}  # old name -> new name
    OLD_VALUES: ClassVar[dict[str, dict[str, str]]] = {}  # setting -> old value -> new value

    @classmethod
    def upgrade(cls, settings: Mapping[str, Any]) -> dict[str, Any]:
        """Settings with the names and values of this release.

        Args:
            settings: the content of config.json, by name.

        Returns:
            A copy. An old name or value gives a DeprecationWarning; it is read for one release.
        """
        upgraded = {}
        for name, value in settings.items():
            new = cls.OLD_SETTINGS.get(name, name)
            values = cls.OLD_VALUES.get(new, {})
            if new != name:
                warn(f"{cls.__name__}: the setting {name!r} is now called {new!r}")
            if isinstance(value, str) and value in values:
                warn(f"{cls.__name__}: {new}={value!r} is now {values[value]!r}")
                value = values[value]
            upgraded[new] = value
        return upgraded

    @classmethod
    def extract_init_dict(cls, config_dict, **kwargs):
        return super().extract_init_dict(cls.upgrade(config_dict), **kwargs)


def warn(message: str) -> None:
    """A DeprecationWarning for a name that is read for one more release."""
    warnings.warn(message, DeprecationWarning, stacklevel=4)
