"""Stages of a Dockerfile as folders over one another: built by their steps, kept by their keys."""

import os
import re
import shutil
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path, PurePosixPath

from deploy.container import dockerfile as files
from deploy.container import roots
from deploy.container.context import Context
from deploy.container.dockerfile import Dockerfile, DockerfileError, Stage, Step
from deploy.container.layers import argument, depends_on, keys

ROOT = Path(__file__).parents[2]
PASSED = re.compile(r"PIP_\w+|\w+_proxy|\w+_PROXY")  # variables that a RUN sees, as with Docker


class RehearsalError(Exception):
    """A step failed, or the service did not do what it should."""


class Rehearsal:
    """The stages of a Dockerfile, built one after the other in the folder `work`."""

    def __init__(
        self, work: Path, base: Path, given: Mapping[str, str], binds: Sequence[Path]
    ) -> None:
        self._work, self._base, self._given, self._binds = work, base, given, binds
        self._context = Context(ROOT)
        self._dockerfile = files.parse((ROOT / "Dockerfile").read_text(), given)
        self._keys = keys(self._dockerfile, self._context, given)
        self._mounted: dict[str, Path] = {}
        self.environment: dict[str, dict[str, str]] = {}  # of each stage: its ENV

    @property
    def dockerfile(self) -> Dockerfile:
        return self._dockerfile

    def build(self, target: str) -> Path:
        """Build a stage and those that it needs, and return its root."""
        for stage in files.wanted(self._dockerfile, target):
            if stage.name not in self._mounted:
                self._build(stage)
        return self._mounted[target]

    def _build(self, stage: Stage) -> None:
        upper = self._upper(stage)
        for old in upper.parent.glob(f"{stage.name}-*"):
            if not old.name.startswith(upper.name):
                shutil.rmtree(old) if old.is_dir() else old.unlink()
        done = upper.with_name(f"{upper.name}.done")
        if not done.exists():
            shutil.rmtree(upper, ignore_errors=True)
        place = self._work / "root" / stage.name
        below = [self._upper(each) for each in depends_on(self._dockerfile, stage)]
        image = [stage, *depends_on(self._dockerfile, stage)][-1].base
        if image == files.SCRATCH:
            (empty := self._work / "empty").mkdir(exist_ok=True)
            below.append(empty)
        else:
            below.append(self._base)
        roots.overlay(below, upper, place)
        self._mounted[stage.name] = place
        print(f"stage {stage.name} {'as before' if done.exists() else ''}", flush=True)
        self._take(stage, place, is_done=done.exists())
        done.touch()

    def _upper(self, stage: Stage) -> Path:
        return self._work / "layers" / f"{stage.name}-{self._keys[stage.name][:12]}"

    def _take(self, stage: Stage, root: Path, *, is_done: bool) -> None:
        """Run the steps of a stage; of one that is there already, only what sets variables."""
        variables = dict(self.environment.get(stage.base, {"PATH": roots.USUAL_PATH}))
        self.environment[stage.name] = variables
        declared: dict[str, str] = {}
        folder = "/"
        for step in stage.steps:
            began = time.monotonic()
            if step.name == "ARG":
                declared.update([argument(step.text, self._dockerfile, self._given)])
            elif step.name == "ENV":
                variables |= files.assignments(step.text, {**declared, **variables})
            elif step.name == "WORKDIR":
                folder = str(PurePosixPath(folder, step.text))
                roots.inside(root, folder).mkdir(parents=True, exist_ok=True)
            elif step.name == "RUN" and not is_done:
                self._run(step, root, {**declared, **variables}, folder)
            elif step.name == "COPY" and not is_done:
                self._copy(step, root, folder)
            print(f"  {step.name} {step.text[:100]}  {time.monotonic() - began:.1f} s", flush=True)

    def _copy(self, step: Step, root: Path, folder: str) -> None:
        where = step.text.split()[-1]
        target = roots.inside(root, str(PurePosixPath(folder, where)))
        if step.stage is None:
            one_file = [path for path in step.paths if (ROOT / path).is_file()]
            if one_file and not where.endswith(("/", ".")):
                raise DockerfileError(f"COPY {step.text}: end the folder {where} with /")
            self._context.copy(step.paths, target)
        else:
            for path in step.paths:
                shutil.copy2(roots.inside(self._mounted[step.stage], path), target)

    def _run(self, step: Step, root: Path, environment: Mapping[str, str], folder: str) -> None:
        passed = {name: value for name, value in os.environ.items() if PASSED.fullmatch(name)}
        log = self._work / "log.txt"
        with ExitStack() as stack:
            for path in (Path("/etc/resolv.conf"), Path("/proc"), Path("/dev"), *self._binds):
                stack.enter_context(roots.mounted(path.resolve(), root, str(path)))
            for each in step.mounts:
                above = ROOT if each.stage is None else self._mounted[each.stage]
                if each.stage is None:
                    self._context.files(each.source)  # is it in the context?
                source = roots.inside(above, each.source)
                stack.enter_context(roots.mounted(source, root, each.target))
            shell = ("/bin/sh", "-c", step.text)
            status = roots.run(root, shell, {**passed, **environment}, log, folder)
        if status:
            end = "\n".join(log.read_text(errors="replace").splitlines()[-20:])
            raise RehearsalError(f"RUN {step.text}\nended with status {status}:\n{end}")
