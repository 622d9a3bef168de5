"""The genomes of a journal, computed from how its children were made.

A line keeps a child's parents, their coefficients, the shift and the mutation, and the genome's id
as a check. So a line has the same size however many ancestors a child has.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any
from weakref import WeakValueDictionary

from mergekit_cycleqd.errors import GenomeError, JournalError
from mergekit_cycleqd.genome.family import Family
from mergekit_cycleqd.genome.genome import Genome
from mergekit_cycleqd.genome.later import LaterGenome
from mergekit_cycleqd.run_folder.journal_lines import LONGEST, decode
from mergekit_cycleqd.run_folder.making_fields import check_making, making_in
from mergekit_cycleqd.run_folder.record import genome_in

_BLOCK = 1 << 20
_RECENT = 1024  # genomes that are kept, beside those of elites, which their holders keep


class JournalGenomes:
    """Computes genomes of candidates when they are asked for, and checks their ids.

    A journal is read from its start to its end. Elites are looked at as they enter an archive, when
    the genomes of their parents are known. Any other genome is computed from its ancestors' lines.
    """

    def __init__(self, path: Path, family: Family) -> None:
        """Know no line yet.

        Args:
            path: The journal.
            family: What the genomes refer to.
        """
        self._path = path
        self._family = family
        self._offsets: dict[int, int] = {}
        self._alive: WeakValueDictionary[int, LaterGenome] = WeakValueDictionary()
        self._recent: OrderedDict[int, Genome] = OrderedDict()

    def read(self, content: Mapping[str, Any], offset: int) -> LaterGenome | None:
        """Take note of a line, and give the genome that it describes without its numbers.

        Args:
            content: What stands in the line, with fields that were checked.
            offset: Where the line begins in the file, in bytes.

        Returns:
            None if the numbers of the genome itself stand in the line.

        Raises:
            JournalError: If the line does not say how the genome is made.
        """
        index, later = content.get("index"), None
        if "weights" not in content:
            check_making(content, len(self._family.experts))
            for source in content["parents"]:
                if source not in self._offsets:
                    raise JournalError(f"its parent {source} has no line before it")
            later = LaterGenome(content["id"], partial(self._genome, content["index"]))
            self._alive[content["index"]] = later
        if type(index) is int:
            self._offsets[index] = offset
        return later

    def _genome(self, index: int) -> Genome:
        """Compute the genome of a candidate, after those of its ancestors that are not known."""
        found: dict[int, Genome] = {}
        waiting = [index]
        while waiting:
            number = waiting[-1]
            content = self._content(number)
            sources = [] if "weights" in content else content["parents"]
            known = {source: found.get(source) or self._known(source) for source in sources}
            missing = [source for source, genome in known.items() if genome is None]
            if missing:
                waiting += missing
                continue
            genome = self._made(content, [g for s in sources if (g := known[s]) is not None])
            if genome.id != content["id"]:
                raise self._fault(
                    number, f"its genome is {genome.id}, not {content['id']} as it says"
                )
            found[number] = self._recent[number] = genome
            if len(self._recent) > _RECENT:
                self._recent.popitem(last=False)
            waiting.pop()
        return found[index]

    def _made(self, content: Mapping[str, Any], sources: Sequence[Genome]) -> Genome:
        if "weights" in content:
            return genome_in(content, self._family)
        if "again" in content:
            return sources[0]
        try:
            return making_in(content).make(sources)
        except GenomeError as error:
            raise self._fault(content["index"], str(error)) from None

    def _known(self, index: int) -> Genome | None:
        later = self._alive.get(index)
        if later is not None and later.is_made:
            return later.genome
        if index in self._recent:
            self._recent.move_to_end(index)
        return self._recent.get(index)

    def _content(self, index: int) -> dict[str, Any]:
        offset = self._offsets[index]
        with self._path.open("rb") as stream:
            stream.seek(offset)
            return decode(stream.readline(LONGEST), self._path, -1)

    def _fault(self, index: int, what: str) -> JournalError:
        with self._path.open("rb") as stream:
            end, number = self._offsets[index], 1
            while block := stream.read(min(end - stream.tell(), _BLOCK)):
                number += block.count(b"\n")
        return JournalError(f"{self._path}: line {number} is damaged: {what}")
