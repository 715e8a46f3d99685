import subprocess
import sys


def test_help_imports_no_rich() -> None:
    code = "import sys; from aetherflow.scheduler.cli import main; main(['--help']); sys.exit('rich' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True)
    assert done.returncode == 0
    assert "account for every slot" in done.stdout
