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


class BundleSignatureError(BundleError):
    """The bundle's signature does not admit it; one of the classes below says why."""


class BundleUnsignedError(BundleSignatureError):
    """The bundle has no signature, and the administrator's policy asks for one."""

    code = "AF7006"


class BundleTamperedError(BundleSignatureError):
    """The content, the statement or the signature is not what was signed, or it was signed for something else."""

    code = "AF7007"


class BundleSignerError(BundleSignatureError):
    """The key that signed may not sign this bundle, or is too weak."""

    code = "AF7008"


class BundleKeyExpiredError(BundleSignatureError):
    """The key that signed is not valid any more, or not yet."""

    code = "AF7009"


class BundleOlderError(BundleSignatureError):
    """The version counter of the bundle is below the policy's floor, or not above that of every version before."""

    code = "AF7010"


class BundleThresholdError(BundleSignatureError):
    """Fewer people have signed the bundle than the administrator's policy asks for."""

    code = "AF7011"
