from aetherflow.core.base.errors import AetherflowError, SpecError


class BundleError(AetherflowError):
    """The content of a source is refused; the active version stays unchanged."""

    code = "AF7001"


class BundleChangedError(BundleError):
    """A file differs from the listing, or the source changed while it was read."""

    code = "AF7002"


class BundleStoreError(AetherflowError):
    """The local store cannot be used: a file in it is damaged, or it cannot be written."""

    code = "AF7003"
    exit_code = 4


class BundleMissingError(BundleError, SpecError):
    """The bundle lacks a file that its manifest names."""

    code = "AF7004"
    exit_code = 2


class FingerprintError(AetherflowError):
    """The content does not have the expected fingerprint."""

    code = "AF7005"
    exit_code = 2
