import subprocess
import sys


def test_needs_neither_torch_nor_transformers():
    code = "import strop.chat, sys; print(sorted({'torch', 'transformers', 'tokenizers', 'numpy'} & set(sys.modules)))"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"
