from vosfw.cli.main import main
from vosfw.engine.confidence import Logistic
from vosfw.hub import load

DATA = ["data.val.videos=1", "data.test.videos=1", "data.train.length=4", "data.train.size=[48, 64]"]


def test_a_calibrated_network_is_written_and_checked(tmp_path, capsys):
    out = tmp_path / "calibrated.safetensors"
    assert main(["calibrate", *DATA, "--out", str(out), "--device", "cpu"]) == 0
    text = capsys.readouterr().out
    assert "fitted to" in text and "Pearson" in text
    model = load(out)
    assert isinstance(model.default_engine.confidence, Logistic) and model.keeps_mass
    assert main(["calibrate", "--check", *DATA, "--model", str(out), "--device", "cpu"]) == 0
    # The same network on the same videos: the report is the same.
    assert capsys.readouterr().out.splitlines() == text.splitlines()[1:-1]


def test_a_wrong_data_set_says_so(capsys):
    assert main(["calibrate", "data=davis", "data.root=/nowhere"]) == 1
    assert "/nowhere" in capsys.readouterr().err
