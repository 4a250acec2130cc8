#!/usr/bin/env python3
"""Turns a file of conformance cases into JSON that the runner reads. See README.md for the format.

usage: assemble.py CASES.asm OUTPUT.json
"""
import json
import os
import re
import struct
import subprocess
import sys
import tempfile

MODES_16 = {"real", "real-big", "protected16", "v86"}
MODES_64 = {"long-user", "long-kernel"}
MODES_IA32E = MODES_64 | {"compat", "compat-kernel"}
NATIVE_MODES = {"long-user", "compat"}
USER_MODES = {"protected32-user", "v86", "compat", "long-user"}

LAYOUT = {
    "GDT": 0x1000, "IDT": 0x2000, "TSS": 0x3000, "LDT": 0x6000, "HANDLERS": 0x7000,
    "KSTACK_TOP": 0x9000, "IST1_TOP": 0xa000, "IST2_TOP": 0xb000, "TSS2": 0xb000,
    "CODE": 0x10000, "DATA": 0x20000, "STACK": 0x30000, "STACK_TOP": 0x38000, "EXTRA": 0x40000,
    "ROOT": 0x50000, "PDPT": 0x51000, "PD": 0x52000, "PT": 0x53000, "FREE": 0x54000,
    "HOLE": 0x80000, "RO": 0x81000, "SUP": 0x82000, "NXP": 0x83000, "SUPRO": 0x84000,
    "MMIO": 0x900000,
}
CONSTANTS = dict(
    LAYOUT, P=1, W=2, U=4, A=0x20, D=0x40, PS=0x80, G=0x100, NX=1 << 63,
    cf=1, pf=4, af=0x10, zf=0x40, sf=0x80, tf=0x100, IF=0x200, df=0x400, of=0x800, none=0,
    nt=1 << 14, rf=1 << 16, vm=1 << 17, ac=1 << 18, vif=1 << 19, vip=1 << 20, id=1 << 21)
VECTORS = {"#DE": 0, "#DB": 1, "NMI": 2, "#BP": 3, "#OF": 4, "#BR": 5, "#UD": 6, "#NM": 7,
           "#DF": 8, "#TS": 10, "#NP": 11, "#SS": 12, "#GP": 13, "#PF": 14, "#MF": 16, "#AC": 17,
           "#MC": 18, "#XM": 19}

PARTS = {}
for letter in "abcd":
    PARTS[f"e{letter}x"] = (f"r{letter}x", 32, 0)
    PARTS[f"{letter}x"] = (f"r{letter}x", 16, 0)
    PARTS[f"{letter}l"] = (f"r{letter}x", 8, 0)
    PARTS[f"{letter}h"] = (f"r{letter}x", 8, 8)
for name in ("si", "di", "sp", "bp"):
    PARTS[f"e{name}"] = (f"r{name}", 32, 0)
    PARTS[name] = (f"r{name}", 16, 0)
    PARTS[f"{name}l"] = (f"r{name}", 8, 0)
for number in range(8, 16):
    for suffix, bits in (("d", 32), ("w", 16), ("b", 8)):
        PARTS[f"r{number}{suffix}"] = (f"r{number}", bits, 0)


def f32(value):
    return struct.unpack("<I", struct.pack("<f", value))[0]


def f64(value):
    return struct.unpack("<Q", struct.pack("<d", value))[0]


def f80(value):
    """The 80-bit form of a Python float."""
    bits = f64(value)
    sign, exponent, fraction = bits >> 63, bits >> 52 & 0x7ff, bits & ((1 << 52) - 1)
    if exponent == 0:
        return sign << 79
    wide = 0x7fff if exponent == 0x7ff else exponent - 1023 + 16383
    return sign << 79 | wide << 64 | 1 << 63 | fraction << 11


def pack(width):
    return lambda *values: sum((v & (1 << width) - 1) << (i * width) for i, v in enumerate(values))


def desc(base, limit, access):
    """A segment descriptor; `access` as in Segment::access, limit in its own granularity."""
    return ((limit & 0xffff) | (base & 0xffffff) << 16 | (access & 0xf0ff) << 40 |
            (limit >> 16 & 0xf) << 48 | (base >> 24 & 0xff) << 56 | (base >> 32) << 64)


class Failure(Exception):
    pass


class Case:
    """One mode of one row of one case."""

    def __init__(self, name, mode, heads, code):
        self.name, self.mode, self.heads, self.code = name, mode, heads, code
        self.symbols = {}

    def one(self, key, default=None):
        return self.heads[key][-1] if key in self.heads else default

    def assemble(self, directory):
        bits = 16 if self.mode in MODES_16 else 64 if self.mode in MODES_64 else 32
        defines = dict(LAYOUT)
        if bits == 16:
            for name in ("CODE", "DATA", "STACK", "EXTRA"):
                defines[name] &= 0xffff
            defines["STACK_TOP"] = 0x8000
        source = [f"[map symbols {directory}/map]", f"bits {bits}",
                  f"org {0 if bits == 16 else LAYOUT['CODE']:#x}", f"%define BITS {bits}",
                  f"%define CODE_LINEAR {LAYOUT['CODE']:#x}", f"%define DATA_LINEAR {LAYOUT['DATA']:#x}"]
        source += [f"%define {name} {value:#x}" for name, value in defines.items()]
        if bits == 64:
            source.append("default abs")
        source.append("case_start:")
        source.append(self.code)
        if not re.search(r"^\s*case_end:", self.code, re.M):
            source += ["case_end:", "int3" if self.mode in USER_MODES else "hlt"]
        with open(f"{directory}/case.asm", "w") as file:
            file.write("\n".join(source) + "\n")
        run = subprocess.run(["nasm", "-w-all", "-O1", "-f", "bin", "-o", f"{directory}/bin",
                              f"{directory}/case.asm"], capture_output=True, text=True)
        if run.returncode != 0:
            raise Failure(f"{self.name}: {run.stderr.strip()}")
        with open(f"{directory}/map") as file:
            for match in re.finditer(r"^\s*[0-9A-F]+\s+([0-9A-F]+)\s+([\w.]+)\s*$", file.read(), re.M):
                self.symbols[match[2]] = int(match[1], 16)
        with open(f"{directory}/bin", "rb") as file:
            return file.read()

    def value(self, text):
        scope = dict(CONSTANTS, f32=f32, f64=f64, f80=f80, ps=pack(32), pd=pack(64), pb=pack(8),
                     pw=pack(16), desc=desc, gate=self.gate, bytes=bytes.fromhex)
        scope.update(self.symbols)
        try:
            return eval(text, {"__builtins__": {}}, scope)
        except Exception as error:
            raise Failure(f"{self.name}: cannot evaluate '{text}': {error}") from error

    def wide(self):
        return self.mode in MODES_IA32E

    def gate(self, offset, kind=0xe, dpl=0, selector=None, ist=0, present=1):
        if selector is None:
            selector = 0x08 if self.wide() else 0x30
        low = (offset & 0xffff | selector << 16 | ist << 32 | kind << 40 | dpl << 45 |
               present << 47 | (offset >> 16 & 0xffff) << 48)
        return low | (offset >> 32) << 64 if self.wide() else low

    def poke(self, target, text):
        """[address].size, page[...], gate[...], gdt[...], ldt[...], tss[...].size"""
        match = re.fullmatch(r"(\w*)\[(.*)\](?:\.(\d+))?", target)
        kind, index, size = match[1], self.value(match[2]), match[3]
        value = self.value(text)
        if isinstance(value, bytes):
            return [hex(index), value.hex()]
        if kind == "page":
            address, size = LAYOUT["PT"], 8 if self.wide() or self.mode == "pae32" else 4
            address += (index >> 12) * size
        elif kind == "gate":
            if self.mode in ("real", "real-big"):
                address, size, value = index * 4, 4, value | 0x10000000
            else:
                size = 16 if self.wide() else 8
                address = LAYOUT["IDT"] + index * size
                if value < 1 << 32 and "gate(" not in text:
                    value = self.gate(value, dpl=3 if index in (3, 4) or 0x80 <= index < 0x90 else 0)
        elif kind in ("gdt", "ldt"):
            address = LAYOUT[kind.upper()] + (index & ~7)
            size = int(size or (16 if value >> 64 else 8))
        elif kind == "tss":
            address = LAYOUT["TSS"] + index
        elif kind == "":
            address = index
        else:
            raise Failure(f"{self.name}: what is {target}?")
        size = int(size or 8)
        return [hex(address), (value & (1 << size * 8) - 1).to_bytes(size, "little").hex()]

    def items(self, key):
        for line in self.heads.get(key, []):
            depth, item = 0, ""
            for letter in line + ",":
                depth += (letter in "([") - (letter in ")]")
                if letter == "," and depth == 0:
                    if item.strip():
                        yield self.split(item.strip())
                    item = ""
                else:
                    item += letter

    def split(self, item):
        match = re.match(r"^((?:\w*\[[^=]*\](?:\.\d+)?)|[\w.]+)\s*(\|=|&=|=)\s*(.*)$", item)
        if not match:
            raise Failure(f"{self.name}: cannot read '{item}'")
        return match[1], match[2], match[3]

    def register(self, name, text):
        value = self.value(text)
        if isinstance(value, bool):
            value = int(value)
        base, bits, shift = PARTS.get(name, (name, 0, 0))
        mask = ((1 << bits) - 1) << shift if bits else 0
        return [base, hex((value << shift) & ((1 << 256) - 1)), hex(mask)]

    def to_json(self, directory):
        code = self.assemble(directory)
        result = {"name": self.name, "mode": self.mode, "code": code.hex(),
                  "end": hex(self.symbols["case_end"]),
                  "native": self.one("native", "no") != "no" and self.mode in NATIVE_MODES,
                  "only_intel": self.one("native", "no") == "intel",
                  "copied_only_intel": self.one("copied", "") == "intel",
                  "direct_only_intel": self.one("direct", "") in ("intel", "intel-operand"),
                  "direct_notes_operand": self.one("direct", "") == "intel-operand",
                  "strict": self.one("strict", "no") == "yes",
                  "software_interrupt": self.one("software-interrupt", "no") == "yes",
                  "cpu": self.one("cpu", "host"),
                  "skip": self.one("skip-engines", "").replace(",", " ").split(),
                  "feature": self.one("feature", ""),
                  "in": [], "pokes": [], "stop": "end", "vector": 0, "registers": [],
                  "handler": [], "memory": []}
        for name, operator, text in self.items("in"):
            if "[" in name:
                result["pokes"].append(self.poke(name, text))
            else:
                result["in"].append([operator] + self.register(name, text))
        if "ports" in self.heads:
            result["ports"] = [line.strip() for text in self.heads["ports"]
                               for line in text.split(";") if line.strip()]
        names = [name for name, _, _ in self.items("expect")]
        for name, _, text in self.items("expect"):
            if name == "fault":
                result["stop"], result["vector"] = "vector", VECTORS[text]
            elif name == "vector":
                result["stop"], result["vector"] = "vector", self.value(text)
            elif name == "error":
                result["error"] = hex(self.value(text))
            elif name == "stop":
                result["stop"] = text
            elif "[" in name:
                result["memory"].append(self.poke(name, text))
            elif name.startswith("at."):
                result["handler"].append(self.register(name[3:], text))
            else:
                result["registers"].append(self.register(name, text))
        if not result["registers"] and not result["memory"] and not result["handler"] and \
                "stop" not in names and result["stop"] == "end" and "ports" not in result and \
                not result["strict"]:
            raise Failure(f"{self.name}: expects nothing")
        return result


def parse(path):
    """Yields (heads, code) sections; the first is what all cases of the file share."""
    sections, heads, code = [], {}, []
    with open(path) as file:
        for line in file:
            match = re.match(r"^; ([a-z-]+): *(.*)$", line.rstrip("\n"))
            if match and match[1] == "case":
                sections.append((heads, "\n".join(code)))
                heads, code = {}, []
            if match:
                heads.setdefault(match[1], []).append(match[2].strip())
            else:
                code.append(line.rstrip("\n"))
    sections.append((heads, "\n".join(code)))
    return sections


def substitute(text, row):
    for name, value in row.items():
        text = text.replace("{" + name + "}", value)
    return text


def rows_of(heads):
    if "columns" not in heads:
        return [{}]
    columns = heads["columns"][-1].split()
    rows = []
    for row in heads.get("row", []):
        cells = [cell.strip() for cell in row.split("|")]
        if len(cells) != len(columns):
            raise Failure(f"row '{row}' has not {len(columns)} cells")
        rows.append(dict(zip(columns, cells)))
    return rows


def with_and_without(name, heads):
    """A case about a feature of the CPU is two: on a CPU that has it and on one that lacks it."""
    if "feature" not in heads:
        return [(name, heads)]
    feature = heads["feature"][-1]
    lacking = dict(heads, cpu=[f"host,-{feature}"], expect=heads["without"])
    return [(f"with {feature}, {name}", dict(heads, cpu=[f"host,+{feature}"])),
            (f"without {feature}, {name}", lacking)]


def expand(path):
    shared, *sections = parse(path)
    names = set()
    for heads, code in sections:
        merged = dict(shared[0])
        merged.update(heads)
        if "in" in heads and "in" in shared[0]:
            merged["in"] = shared[0]["in"] + heads["in"]
        rows = rows_of(merged)
        for number, row in enumerate(rows):
            filled = {key: [substitute(text, row) for text in texts]
                      for key, texts in merged.items() if key not in ("row", "columns")}
            modes = [mode.strip() for mode in filled["mode"][-1].split(",")]
            for mode in modes:
                base = filled["case"][-1] + (f" ({mode})" if len(modes) > 1 else "")
                for name, variant in with_and_without(base, filled):
                    if name in names and len(rows) > 1:
                        name += f" #{number + 1}"
                    if name in names:
                        raise Failure(f"two cases are called '{name}'")
                    names.add(name)
                    yield Case(name, mode, variant, substitute(shared[1] + "\n" + code, row))


def main():
    source, output = sys.argv[1:]
    try:
        with tempfile.TemporaryDirectory() as directory:
            cases = [case.to_json(directory) for case in expand(source)]
    except Failure as failure:
        sys.exit(f"{source}: {failure}")
    with open(output + ".new", "w") as file:
        json.dump({"suite": os.path.splitext(os.path.basename(source))[0], "cases": cases}, file,
                  indent=0)
    os.replace(output + ".new", output)


main()
