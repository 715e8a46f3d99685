from aetherflow.core.base.errors import AetherflowError


class BundleError(AetherflowError):
    """What a source offers cannot be taken; the active version stays as it is."""

    code = "AF7001"


class BundleChangedError(BundleError):
    """A file is not what the listing said, or the source changed while it was read."""

    code = "AF7002"


class BundleStoreError(AetherflowError):
    """The local store cannot be used: a file in it is not what it was, or it cannot be written."""

    code = "AF7003"
    exit_code = 4


class BundleMissingError(BundleError):
    """The bundle lacks a file that its manifest names."""

    code = "AF7004"
    exit_code = 2


class FingerprintError(AetherflowError):
    """The content is not the expected one."""

    code = "AF7005"
    exit_code = 2
