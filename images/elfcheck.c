/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "images/elfcheck.h"

#include <elf.h>
#include <string.h>

#include "vmctl/base/error.h"

enum { NOTE_PHYS32_ENTRY = 18 };

gboolean
image_elf_is (const guint8 *data, gsize length)
{
  return length >= SELFMAG && memcmp (data, ELFMAG, SELFMAG) == 0;
}

static gboolean
read_header (const guint8 *data, gsize length, Elf64_Ehdr *ret, GError **error)
{
  if (!image_elf_is (data, length))
    return vm_error (error, VM_ERROR_INVALID, "not an ELF file");
  if (length < sizeof *ret)
    return vm_error (error, VM_ERROR_INVALID, "cut off in its ELF header");
  memcpy (ret, data, sizeof *ret);
  if (ret->e_ident[EI_CLASS] != ELFCLASS64 || ret->e_ident[EI_DATA] != ELFDATA2LSB ||
      ret->e_machine != EM_X86_64)
    return vm_error (error, VM_ERROR_UNSUPPORTED, "not for x86-64 (ELF class %u, machine %u)",
                     ret->e_ident[EI_CLASS], ret->e_machine);
  return TRUE;
}

/* Calls that fail have set `error`; i counts from 0. */
static gboolean
read_segment (const guint8 *data, gsize length, const Elf64_Ehdr *header, guint i, Elf64_Phdr *ret,
              GError **error)
{
  guint64 at = header->e_phoff;

  if (header->e_phentsize != sizeof *ret || at > length || (length - at) / sizeof *ret <= i)
    return vm_error (error, VM_ERROR_INVALID, "its program headers lie outside the file");
  memcpy (ret, data + at + i * sizeof *ret, sizeof *ret);
  if (ret->p_offset > length || ret->p_filesz > length - ret->p_offset)
    return vm_error (error, VM_ERROR_INVALID, "segment %u lies outside the file", i);
  return TRUE;
}

/* Notes have a header, then the name and the value, each padded to 4 bytes. */
static gboolean
has_pvh_note (const guint8 *notes, gsize length)
{
  Elf64_Nhdr note;

  for (gsize at = 0; length - at >= sizeof note;) {
    gsize name_size, value_size;

    memcpy (&note, notes + at, sizeof note);
    at += sizeof note;
    name_size = ((gsize)note.n_namesz + 3) & ~(gsize)3;
    value_size = ((gsize)note.n_descsz + 3) & ~(gsize)3;
    if (name_size > length - at || value_size > length - at - name_size)
      return FALSE;
    if (note.n_type == NOTE_PHYS32_ENTRY && note.n_namesz == 4 && memcmp (notes + at, "Xen", 4) == 0 &&
        note.n_descsz >= 4)
      return TRUE;
    at += name_size + value_size;
  }
  return FALSE;
}

gboolean
image_elf_check_kernel (const guint8 *data, gsize length, gboolean *ret_pvh, GError **error)
{
  gboolean loads = FALSE, pvh = FALSE;
  Elf64_Ehdr header;
  Elf64_Phdr segment;

  if (!read_header (data, length, &header, error))
    return FALSE;
  if (header.e_type != ET_EXEC && header.e_type != ET_DYN)
    return vm_error (error, VM_ERROR_INVALID, "not an executable (ELF type %u)", header.e_type);
  for (guint i = 0; i < header.e_phnum; i++) {
    if (!read_segment (data, length, &header, i, &segment, error))
      return FALSE;
    loads = loads || segment.p_type == PT_LOAD;
    pvh = pvh || (segment.p_type == PT_NOTE && has_pvh_note (data + segment.p_offset, segment.p_filesz));
  }
  if (!loads)
    return vm_error (error, VM_ERROR_INVALID, "nothing in it to load");
  *ret_pvh = pvh;
  return TRUE;
}

gboolean
image_elf_check_module (const guint8 *data, gsize length, GError **error)
{
  Elf64_Ehdr header;

  if (!read_header (data, length, &header, error))
    return FALSE;
  if (header.e_type != ET_REL)
    return vm_error (error, VM_ERROR_INVALID, "not a kernel module (ELF type %u)", header.e_type);
  return TRUE;
}

gboolean
image_elf_check_static (const guint8 *data, gsize length, GError **error)
{
  Elf64_Ehdr header;
  Elf64_Phdr segment;

  if (!read_header (data, length, &header, error))
    return FALSE;
  if (header.e_type != ET_EXEC && header.e_type != ET_DYN)
    return vm_error (error, VM_ERROR_INVALID, "not an executable (ELF type %u)", header.e_type);
  for (guint i = 0; i < header.e_phnum; i++) {
    if (!read_segment (data, length, &header, i, &segment, error))
      return FALSE;
    if (segment.p_type == PT_INTERP)
      return vm_error (error, VM_ERROR_INVALID, "not statically linked, so it cannot start in the guest");
  }
  return TRUE;
}
