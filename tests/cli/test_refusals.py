"""Wrong command lines are refused in one line, with exit code 2, before any file is created."""

import os
import shlex
from pathlib import Path

import pytest

from foretell.cli import main

NETS = """
from torch import nn

def fit(arch):
    return 1.0

def blind(seed, budget):
    return 1.0

def small(width=4):
    return nn.Sequential(nn.Flatten(), nn.Linear(64, width), nn.Linear(width, 10))
"""
FILES = {
    "nets.py": NETS,
    "a.csv": "x,y\n1,a\n2,b\n" * 50,
    "empty.txt": "",
    "empty.csv": "",
    "junk.csv": "\0\1junk\n\0,\2,\3",
    "scores.csv": "name,snip\na,1\nb,2\nc,3\nd,4\n",
    "two.csv": "name,snip\na,1\nb,2\n",
    "twice.csv": "name,snip\na,1\nb,2\na,3\n",
    "same.csv": "name,snip,params\na,1,\nb,1,\nc,1,\n",
    "infinite.csv": "name,snip,params\na,1,inf\nb,2,5\nc,3,6\n",
    "infinity.csv": "name,value\na,inf\nb,70\n",
    "undefined.csv": "name,snip\na,\nb,\nc,\n",
    "deep.json": "[" * 100_000,
    "number.json": "3",
    "stranger.json": '{"zebra": 1.0, "a": 2.0}',
    "words.json": '{"a": "good"}',
    "units.json": '{"a": 0.71, "b": 70, "c": 72}',
    "lr.toml": "lr = 0.3",
    "type.toml": "pool = 3.5",
    "name.toml": "pol = 3",
    "table.toml": "[search]\npool = 3",
    "flag.toml": "compare = 1",
    "date.toml": "pool = 1979-05-27",
    "twice.toml": "pool = 3\npool = 4",
    "big.toml": f"pool = {'9' * 30}",
    "nan.toml": "lr = nan",
    "empty.toml": "proxies = []",
    "cut.toml": "pool = ",
    "bomb.toml": f"pool = {'[' * 5_000}",
    "digits.toml": f"pool = {'9' * 5_000}",
    "both.toml": "batch-size = 4\nbatch_size = 8",
    "long.txt": "a" * 100_000,
}
STAND_FOR = {"{DEEP}": "[" * 20_000, "{NUL}": "\0", "{LONG}": "a" * 300, "{BIG}": "9" * 5_000}

WRONG = r"""
rnk
rank --proxy snip nb201:333333
--versoin
rank
score
score a b
score nb201:333333 --batch-size
score nb201:333333 --batch-size 0
score nb201:333333 --batch-size -3
score nb201:333333 --batch-size 1.5
score nb201:333333 --batch-size 99999999999999999999
score nb201:333333 --batch-size {BIG}
score nb201:333333 --batch-size 10000000000000
score nb201:333333 --batch-size 4 --proxies params --batches 100000000000000000000
score nb201:333333 --batch-size 4 --proxies params --batches 1000000000000
score nb201:333333 --seeds 100000000000000000000
score nb201:333333 --seeds 0
score nb201:333333 --seed -1
score nb201:333333 --seed 18446744073709551616
score nb201:333333 --seed nan
score nb201:333333 --batches x
score nb201:333333 --batches 0
score nb201:333333 --device meta
score nb201:333333 --device xla
score nb201:333333 --device mps
score nb201:333333 --device cuda:99
score nb201:333333 --device ''
score nb201:333333 --device cpu:3
score nb201:333333 --device cuda:-1
score nb201:333333 --device cpu:
score nb201:333333 --device {LONG}
score nb201:333333 --loss ce
score nb201:333333 --loss ''
score nb201:333333 --layers most
score nb201:333333 --batch-norm frozen_
score nb201:333333 --micro-batch 0
score nb201:333333 --micro-batch 64 --batch-size 64
score nb201:333333 --micro-batch 100 --batch-size 4
score nb201:333333 --micro-batch 99999999999999999999
score nb201:333333 --precision half
score nb201:333333 --tf32 --device cpu
score nb201:333333 --precision tf32 --device cpu
score nb201:333333 --tf32=yes
score nb201:333333 --pretrained
score nets.py:small --pretrained
score nb201:333333 --root folder
score nb201:333333 --download
score nb201:333333 --data ''
score nb201:333333 --data digits:3
score nb201:333333 --data digitz
score nb201:333333 --data 'digits?seed=1'
score nb201:333333 --data random:
score nb201:333333 --data digits:
score nb201:333333 --data npz:
score nb201:333333 --data random:3x8
score nb201:333333 --data random:0x8x8
score nb201:333333 --data random:3x100000x100000
score nb201:333333 --data random:3x99999999999999999999x8
score nb201:333333 --data 'random:3x8x8?images=99999999999999'
score nb201:333333 --data 'random:3x8x8?images=-1'
score nb201:333333 --data 'random:3x8x8?images=3.5'
score nb201:333333 --data 'random:3x8x8?images=10,images=20'
score nb201:333333 --data folder
score nb201:333333 --data folder:
score nb201:333333 --data folder:nowhere
score nb201:333333 --data folder:folder
score nb201:333333 --data folder:{NUL}
score nb201:333333 --data folder:{LONG}
score nb201:333333 --data npz:junk
score nb201:333333 --data csv:a.csv
score nb201:333333 --data 'csv:a.csv?target=z'
score nb201:333333 --data text:empty.txt
score nb201:333333 --data text:junk
score nb201:333333 --proxies ''
score nb201:333333 --proxies ,
score nb201:333333 --proxies snap
score nb201:333333 --proxies 'snip?x=1'
score nb201:333333 --proxies vote
score 'nb201:333333?channels=0'
score 'nb201:333333?channels=-1'
score 'nb201:333333?channels=1.5'
score 'nb201:333333?channels=9999999999999999999999'
score 'nb201:333333?channels=1000000000'
score 'nb201:333333?channels=nan'
score 'nb201:333333?cells=100000000'
score 'nb201:333333?channels=4,channels=8'
score 'nb201:333333?chanels=4'
score 'nb201:333333?channels'
score 'nb201:333333?=4'
score 'nb201:333333?channels=true'
score 'nb201:333333?channels=[[[[[[[[[[4'
score 'nb201:333333?resolution=-1'
score 'nb201:333333?classes=0'
score nb201:
score nb201:999999
score nb201:99999999999999999999999
score ''
score :
score nope
score nets.py
score nets.py:
score nets.py:big
score 'nets.py:small?width=0.5'
score 'nets.py:small?width=1000000000000'
score 'nets.py:small?width=-2'
score 'nets.py:small?deep=3'
score 'nets.py:small?width=8,'
score 'nets.py:small?,width=8'
score 'nets.py:small?width='
score 'nb201:333333?channels=8,,cells=1'
score 'nets.py:small?width=4,width=8'
score junk.py:x
score folder:x
score {NUL}.py:x
score @nowhere.txt
score @empty.txt
score @junk
score @folder
rank nb201:333333 --by snap
rank nb201:333333 --by vote --proxies snip
rank nb201:333333 --by ''
rank nets.py:big
rank nb201:333333 --best 0
rank nets.py:small nets.py:small?width=8 --best 1 --at-equal params --proxies params
explain --batch-size 0
explain --micro-batch 4
explain --data digits
explain --device cuda
explain --seeds 3
explain nope
explain nb201:333333 --batches 3
explain nb201:333333 --seeds 3
list prox
list proxies data
list --cvs
completion
completion csh
report
report {NUL}
report {LONG}
retrain
retrain nowhere
retrain folder
retrain folder --root x
retrain folder --epochs 0
retrain folder --lr nan
retrain folder --lr inf
retrain folder --lr -1
retrain folder --lr 0
retrain folder --weight-decay -1
retrain folder --weight-decay nan
retrain folder --optimizer adam
retrain folder --augmentation flip
retrain folder --precision half
retrain folder --patience 0
retrain folder --train-batch-size 0
search --space nb200
search --space 'nb201?channels=0'
search --space ''
search --space nets.py:small
search --space nowhere.py:x
search --space 'nb201?channels=4,channels=5'
search --space 'nb201?cells=10000000'
search --data nope
search --run nets.py
search --run {LONG}
search --run {NUL}
search --run folder/../nets.py/run
search --by snap
search --by votes
search --by ''
search --proxies ''
search --proxies snip --by synflow
search --searcher nope
search --searcher 'random?x=1'
search --searcher 'random?seed=3'
search --searcher 'random?space=3'
search --searcher 'random?name=3'
search --searcher 'guided?scores=3'
search --searcher 'random?costs=3'
search --space 'nb201?channels=4,'
search --searcher 'aging_evolution?population=0'
search --searcher 'aging_evolution?population=99999999999999999999'
search --searcher 'aging_evolution?population=nan'
search --searcher ''
search --pool 0
search --pool 3 --trainings 4
search --pool 100000000000
search --pool 1000000
search --pool 99999999999999999999
search --trainings 0
search --trainings -1
search --first-stage thirds
search --batch-size 0
search --batch-size 100000000000000
search --workers 0
search --workers -1
search --workers 1000000
search --workers 99999999999999999999
search --executor slurm
search --executor ''
search --executor ray --device cuda:1
search --device tpu
search --seed -1
search --seed 18446744073709551616
search --epochs 0
search --epochs 99999999999999999999
search --lr nan
search --lr 1e308
search --weight-decay 1e308
search --lr 1e400
search --lr 0
search --train-batch-size 0
search --optimizer sgdd
search --precision tf32 --device cpu
search --precision fp16 --device cpu
search --score-precision tf32 --device cpu
search --tf32 --device cpu
search --patience -1
search --weight-decay -0.1
search --micro-batch 64
search --against params
search --against parms --searcher nsga2
search --limit params
search --limit params=
search --limit params=nan
search --limit params=inf
search --limit =5
search --limit params=1,params=2
search --limit params=1 --max-params 2
search --limit nowhere:x=5
search --max-params nan
search --max-params -1
search --max-flops inf
search --max-latency x
search --config nowhere.toml
search --config folder
search --config junk
search extra
study
study nowhere
study nowhere.parquet
study junk
study a.csv
study folder
study nb201 --sample 0
study nb201 --sample few
study nb201 --sample -5
study nb201 --sample 1.5
study nb201 --sample 99999999999999999999
study nb201 --repeats 0
study nb201 --reduced nope
study nb201 --workers 0
study serach folder
study search
study search nowhere
study search folder
study search folder --seeds 0
study search folder --trainings 0
study search folder --strategies ''
study search folder --workers 0
study search folder --by ''
data imprt
data import
data import nb201
data import nb202 a.csv
data import nb201 nowhere.parquet
data import nb201 a.csv
data import nb201 junk
data import nb201 folder
data import nb201 a.csv --space nb201
data import table a.csv
data import table a.csv --space nb201
data import table a.csv --space nb201 --key z
data import table a.csv --space nope --key x
data import table a.csv --space nb201 --key x --choose y
data import table a.csv --space models --key x --choose y
data import table a.csv --space nb201 --key x --repeats y
data import table a.csv --space nb201 --key x --repeats y=
data import table a.csv --space nb201 --key x --scale nan
data import table a.csv --space nb201 --key x --name ../x
data import table a.csv --space nb201 --key x --name ''
data import table a.csv --space nb201 --key x --name {LONG}
data import table junk --space nb201 --key x
data import table a.csv --space nb201 --key x --scale 0
data import table a.csv --space nb201 --key x --scale -1
data import table a.csv --space nb201 --key x --trust-pickle
data import table a.csv --space nb201 --key x --choose ,
data import nb201 a.csv --trust-pickle
data import nb201 a.csv --scale 0
data import nb201 a.csv --space ''
data fetch
data fetch nb101
data fetch nb102 --yes
data fetch nats-tss --yes
data fetch nb101 --to a.csv/x --yes
data fetch nb101 --to '' --yes
data check
data check nowhere
data check {LONG}
data check a.csv
data check junk
data check ''
data list extra
data list --json --csv
list --json --csv
rank nb201:333013 nb201:111111 --csv --json
score nb201:333333 --columns ,
score {LONG}.py:x
score nb201:333333 --data npz:{LONG}
search --limit ,
search --first-stage ''
search --evaluate nowhere.py:fit
search --evaluate nets.py:nothing
search --evaluate nets.py
search --evaluate ''
search --evaluate nets.py:blind
search --evaluate-command 'echo {arch} {nope}'
search --searcher guided --by synflow
search --by synflow+
search --by synflow+synflow
search --space @pipe
search --config bomb.toml
search --config digits.toml
search --config both.toml
search --run loop
rank @pipe
rank @
rank @/dev/zero
search --config /dev/zero
rank @long.txt
rank 'nb201:333333?channels={DEEP}'
rank 'nb201:333333?channels={BIG}'
rank nb201:333333 --by snip+
search --evaluate-command ''
search --evaluate-command '"x {arch}'
search --evaluate-command 'no-such-program {arch}'
search --evaluate-command echo
search --evaluate-command 'echo {arch}' --evaluate nets.py:fit
search --evaluate-command 'echo {arch}' --evaluate-timeout 0
search --evaluate-command 'echo {arch}' --evaluate-timeout nan
search --evaluate-command 'echo {arch}' --first-stage halving
search --evaluate-command 'echo {arch}' --lr 0.3
search --evaluate-command 'echo {arch}' --train-batch-size 64
search --evaluate-command 'echo {arch}' --optimizer adamw
search --evaluate nets.py:fit --patience 3
search --evaluate nets.py:fit --weight-decay 0.1
search --evaluate nets.py:fit --config lr.toml
search --evaluate-timeout 3
search --lower-is-better
search --config type.toml
search --config name.toml
search --config table.toml
search --config flag.toml
search --config date.toml
search --config twice.toml
search --config big.toml
search --config nan.toml
search --config empty.toml
search --config cut.toml
study search folder --seeds 99999999999
study search folder --trainings 5000000000
report folder --truth ,
calibrate
calibrate nowhere.csv
calibrate folder
calibrate ''
calibrate {NUL}
calibrate {LONG}.csv
calibrate junk
calibrate empty.csv
calibrate junk.csv
calibrate deep.json
calibrate number.json
calibrate a.csv
calibrate two.csv
calibrate twice.csv
calibrate same.csv
calibrate infinite.csv
calibrate scores.csv --results infinity.csv
calibrate undefined.csv
calibrate scores.csv --next 0
calibrate scores.csv --next {BIG}
calibrate scores.csv --lower-is-better
calibrate scores.csv --columns nope
score nb201:333333 --columns nope
score nb201:333333 --columns mean
score nowhere.py:x --columns nope
rank nb201:333333 nb201:111111 --columns snip,nope
rank nb201:333333 nb201:111111 --columns stratum
rank nowhere.py:x nb201:111111 --proxies snip --columns params
explain --columns nope
explain nb201:333333 --columns nope
list --columns nope
list proxies --columns nope --json
data list --columns nope
data check nowhere --columns nope
calibrate scores.csv --json --csv
calibrate scores.csv --results nowhere.csv
calibrate scores.csv --results ''
calibrate scores.csv --results folder
calibrate scores.csv --results {LONG}.csv
calibrate scores.csv --results empty.csv
calibrate scores.csv --results deep.json
calibrate scores.csv --results number.json
calibrate scores.csv --results a.csv
calibrate scores.csv --results stranger.json
calibrate scores.csv --results words.json
calibrate scores.csv --results units.json
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that the commands run in, with unsuitable files and a folder."""
    folder = tmp_path_factory.mktemp("wrong")
    for name, content in FILES.items():
        (folder / name).write_text(content)
    (folder / "junk").write_bytes(b"\0\1junk")
    (folder / "folder").mkdir()
    os.mkfifo(folder / "pipe")  # which nobody writes to
    (folder / "loop").symlink_to("loop")
    return folder


@pytest.mark.parametrize("line", WRONG.strip().splitlines())
def test_it_is_refused_in_one_line(
    line: str, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(folder)
    monkeypatch.setenv("FORETELL_DATA", str(folder / "tables"))
    words = shlex.split(line)
    for name, text in STAND_FOR.items():
        words = [word.replace(name, text) for word in words]
    before = files(folder)
    assert main(words) == 2
    out, errors = capsys.readouterr()
    assert out == ""
    assert errors.startswith("foretell: ")
    assert errors.count("\n") == 1
    assert len(errors) < 700
    assert files(folder) == before


def files(folder: Path) -> set[str]:
    """All files in a folder, except Python's caches."""
    return {str(path) for path in folder.rglob("*") if "__pycache__" not in path.parts}
