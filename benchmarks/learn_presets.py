"""Train every experiment of the place Learn and its remedy, and print whether they show what their texts say.

python benchmarks/learn_presets.py --seeds 3 --rounds 1500
"""

import argparse
import time

import numpy as np
import torch

from gansmith.core.plain_files import read_json
from gansmith.web.learn import PRESETS
from gansmith.web.learn_worker import Session, Settings

EVERY = 25  # rounds between two measurements


def measure(session: Session, rounds: int) -> str:
    """Train, and describe the second half: modes found, distance, way of the centre between measurements, arrows."""
    found, js, centres, push = [], [], [], []
    for number in range(rounds):
        session.step()
        if number >= rounds // 2 and number % EVERY == 0:
            survey, frame = session.survey(), session.frame()
            found.append(survey.get("found", 0))
            js.append(survey.get("js", 0.0))
            push.append(frame["push"]["mean"] or 0.0)
            if session.data.spec.is_points:
                centres.append(np.array(frame["fake"]).reshape(-1, 2).mean(0) / 1000)
    way = float(np.linalg.norm(np.diff(centres, axis=0), axis=1).mean()) if len(centres) > 1 else 0.0
    return f"modes {min(found)}-{max(found)}  JS {np.mean(js):.2f}  way {way:.2f}  arrows {np.mean(push):.2g}"


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--rounds", type=int, default=1500, help="of each experiment, and of each remedy")
    parser.add_argument("--only", help="name of an experiment")
    given = parser.parse_args()
    torch.set_num_threads(1)
    for preset in read_json(PRESETS):
        if given.only not in (None, preset["name"]):
            continue
        for seed in range(given.seeds):
            began, settings = time.process_time(), {**preset["settings"], "seed": seed}
            session = Session(Settings.model_validate(settings))
            text = measure(session, given.rounds)
            if "remedy" in preset:
                session.change(Settings.model_validate({**settings, **preset["remedy"]["settings"]}))
                text += f"  |  mended: {measure(session, given.rounds)}"
            rate = session.state.iteration / (time.process_time() - began)
            print(f"{preset['name']:20} seed {seed}  {text}  ({rate:.0f} rounds a CPU second)", flush=True)


if __name__ == "__main__":
    main()
