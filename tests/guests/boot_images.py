"""Images that PC firmware boots from: GRUB on a disk or a CD-ROM, put together without root."""
import pathlib
import struct
import subprocess

SECTOR = 512
PARTITION = 2048  # its first sector
GRUB = pathlib.Path("/usr/lib/grub/i386-pc")
MODULES = "biosdisk part_msdos fat normal configfile echo ls cat linux halt reboot sleep".split()


def _run(*words):
    subprocess.run([str(word) for word in words], check=True, capture_output=True)


def grub_disk(path, config, files=(), mib=32):
    """A disk with GRUB in its first track and a FAT partition with /grub/grub.cfg and the files."""
    core = path.with_suffix(".core")
    _run("grub-mkimage", "-O", "i386-pc", "-o", core, "-p", "(hd0,msdos1)/grub", *MODULES)
    sectors = mib * 2048
    image = bytearray(mib << 20)
    entry = struct.pack("<B3sB3sII", 0x80, b"\x20\x21\0", 0x0E, b"\xfe\xff\xff", PARTITION,
                        sectors - PARTITION)
    image[:SECTOR] = (GRUB / "boot.img").read_bytes()[:SECTOR]
    image[0x1BE:0x1FE] = entry.ljust(64, b"\0")
    image[0x66:0x68] = b"\x90\x90"  # keep the drive that the firmware names
    code = bytearray(core.read_bytes())
    code += bytes(-len(code) % SECTOR)
    # The first sector of the core image loads the rest: from sector 2, so many, to 0x8200.
    struct.pack_into("<QHH", code, 0x1F4, 2, len(code) // SECTOR - 1, 0x820)
    assert len(code) < (PARTITION - 1) * SECTOR
    image[SECTOR : SECTOR + len(code)] = code
    path.write_bytes(image)
    partition = f"{path}@@{PARTITION * SECTOR}"
    _run("mformat", "-i", partition, "-T", sectors - PARTITION, "-h", 16, "-s", 63, "::")
    _run("mmd", "-i", partition, "::/grub")
    config_file = path.with_suffix(".cfg")
    config_file.write_text(config)
    _run("mcopy", "-i", partition, config_file, "::/grub/grub.cfg")
    for file in files:
        _run("mcopy", "-i", partition, file, f"::/{file.name}")
    return path


def grub_iso(path, config, files=()):
    """An El Torito CD-ROM with GRUB."""
    tree = path.with_suffix(".tree")
    (tree / "boot/grub").mkdir(parents=True)
    (tree / "boot/grub/grub.cfg").write_text(config)
    for file in files:
        (tree / file.name).write_bytes(file.read_bytes())
    _run("grub-mkrescue", "-d", GRUB, "-o", path, tree)
    return path
