# SPDX-License-Identifier: LGPL-2.1-or-later
"""Puts a qcow2 file into a store of images (images/store.h), without looking at what is in it.

store.py STORE NAME DISK MEMBER=VALUE...   members of image.json: filesystem, partition, init, init-kind, ...

With kernel=VERSION it gets this host's kernel of that version as its own. One disk may be many images here: the id is
made of the members, too. Prints the image's directory.

store.py --modules VERSION DIRECTORY   only such a kernel's modules, as DIRECTORY"""
import hashlib
import json
import os
import shutil
import struct
import sys

MODULES = {"virtio_pci", "9p", "9pnet_virtio", "overlay", "virtio_console", "virtio_blk", "crc32c_generic", "ext4",
           "virtio_net", "virtio_balloon"}


def copy_modules(version, target):
    """Those that vmctl loads, with what they need."""
    source = "/lib/modules/" + version
    os.makedirs(target)
    for list_name in "modules.dep", "modules.builtin":
        shutil.copy(os.path.join(source, list_name), target)
    with open(os.path.join(source, "modules.dep")) as file:
        for line in file:
            path, needs = line.rstrip("\n").split(":")
            if os.path.basename(path).split(".ko")[0].replace("-", "_") in MODULES:
                for module in [path] + needs.split():
                    os.makedirs(os.path.dirname(os.path.join(target, module)), exist_ok=True)
                    shutil.copy(os.path.join(source, module), os.path.join(target, module))


def copy_kernel(place, version):
    copy_modules(version, os.path.join(place, "kernel/lib/modules", version))
    os.mkdir(os.path.join(place, "kernel/boot"))
    shutil.copy("/boot/vmlinuz-" + version, os.path.join(place, "kernel/boot"))


if sys.argv[1] == "--modules":
    copy_modules(*sys.argv[2:])
    sys.exit()
store, name, disk = sys.argv[1:4]
with open(disk, "rb") as file:
    data = file.read()
members = {"origin": disk, "format": "qcow2", "created": 1, "size": struct.unpack(">Q", data[24:32])[0],
           "partition": 0, "filesystem": "ext4", "arch": os.uname().machine, "init-kind": "none"}
for word in sys.argv[4:]:
    key, value = word.split("=", 1)
    members[key] = int(value) if key == "partition" else value
image = "sha256-" + hashlib.sha256(data + "".join(sys.argv[4:]).encode()).hexdigest()
place = os.path.join(store, image)
path = os.path.join(place, "disk.qcow2")
os.makedirs(os.path.join(store, "names"), mode=0o700, exist_ok=True)
os.mkdir(place, mode=0o700)
shutil.copyfile(disk, path)
os.chmod(path, 0o400)
if "kernel" in members:
    copy_kernel(place, members["kernel"])
st = os.stat(path)
identity = {"device": st.st_dev, "inode": st.st_ino, "size": st.st_size, "mtime": st.st_mtime_ns, "ctime": st.st_ctime_ns}
for file_name, value in ("image.json", members), ("identity", identity):
    with open(os.path.join(place, file_name), "w") as file:
        json.dump(value, file)
os.symlink("../" + image, os.path.join(store, "names", name))
print(place)
