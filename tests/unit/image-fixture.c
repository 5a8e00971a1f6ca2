/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tests/unit/image-fixture.h"

#include <elf.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "vmctl/base/argv.h"
#include "vmctl/base/fd.h"
#include "vmctl/base/file.h"

void
fixture_init (Fixture *fixture, gconstpointer unused)
{
  GError *error = NULL;

  fixture->dir = g_dir_make_tmp ("vmctl-image-test-XXXXXX", &error);
  g_assert_no_error (error);
}

void
fixture_clear (Fixture *fixture, gconstpointer unused)
{
  GError *error = NULL;

  (void)vm_file_remove_tree (AT_FDCWD, fixture->dir, &error);
  g_assert_no_error (error);
  g_free (fixture->dir);
}

char *
fixture_path (Fixture *fixture, const char *relative)
{
  return g_build_filename (fixture->dir, relative, NULL);
}

char *
fixture_mkdir (Fixture *fixture, const char *relative)
{
  char *path = fixture_path (fixture, relative);

  g_assert_cmpint (g_mkdir_with_parents (path, 0700), ==, 0);
  return path;
}

char *
fixture_write (Fixture *fixture, const char *relative, const void *data, gsize length)
{
  char *path = fixture_path (fixture, relative);
  g_autofree char *parent = g_path_get_dirname (path);
  GError *error = NULL;

  g_assert_cmpint (g_mkdir_with_parents (parent, 0700), ==, 0);
  g_file_set_contents (path, data, (gssize)length, &error);
  g_assert_no_error (error);
  return path;
}

char *
fixture_write_text (Fixture *fixture, const char *relative, const char *text)
{
  return fixture_write (fixture, relative, text, strlen (text));
}

guint
fixture_count (const char *dir, const char *prefix)
{
  g_autoptr (GDir) d = g_dir_open (dir, 0, NULL);
  const char *name;
  guint n = 0;

  while (d != NULL && (name = g_dir_read_name (d)) != NULL)
    n += g_str_has_prefix (name, prefix);
  return n;
}

static void
append_filling (GByteArray *out, gsize length)
{
  gsize start = out->len;

  /* Neither constant nor random, so that every compressor has something to do, but not much. */
  g_byte_array_set_size (out, (guint)(start + length));
  for (gsize i = 0; i < length; i++)
    out->data[start + i] = i % 16 < 3 ? (guint8)((i * i >> 7) ^ (i % 251)) : (guint8)(i >> 12);
}

static Elf64_Ehdr
elf_header (guint16 type, guint16 segments)
{
  Elf64_Ehdr header = {.e_type = type,
                       .e_machine = EM_X86_64,
                       .e_version = EV_CURRENT,
                       .e_phoff = segments > 0 ? sizeof header : 0,
                       .e_ehsize = sizeof header,
                       .e_phentsize = segments > 0 ? sizeof (Elf64_Phdr) : 0,
                       .e_phnum = segments};

  memcpy (header.e_ident, ELFMAG, SELFMAG);
  header.e_ident[EI_CLASS] = ELFCLASS64;
  header.e_ident[EI_DATA] = ELFDATA2LSB;
  header.e_ident[EI_VERSION] = EV_CURRENT;
  return header;
}

/* A program with a PT_LOAD and a second segment of any kind. */
static GByteArray *
make_program (gsize filling, guint32 second_type, const void *second, gsize second_size)
{
  GByteArray *out = g_byte_array_new ();
  Elf64_Ehdr header = elf_header (ET_EXEC, 2);
  Elf64_Phdr segments[2] = {{.p_type = PT_LOAD, .p_filesz = filling, .p_memsz = filling},
                            {.p_type = second_type, .p_filesz = second_size, .p_memsz = second_size}};

  segments[1].p_offset = sizeof header + sizeof segments;
  segments[0].p_offset = segments[1].p_offset + second_size;
  g_byte_array_append (out, (guint8 *)&header, sizeof header);
  g_byte_array_append (out, (guint8 *)segments, sizeof segments);
  g_byte_array_append (out, second, (guint)second_size);
  append_filling (out, filling);
  return out;
}

GByteArray *
fixture_vmlinux (gsize filling, gboolean pvh)
{
  struct {
    Elf64_Nhdr first;
    char first_name[8];
    guint32 first_value;
    Elf64_Nhdr second;
    char second_name[4];
    guint64 second_value;
  } __attribute__ ((packed)) notes = {{.n_namesz = 6, .n_descsz = 4, .n_type = 18},
                                      "Linux",
                                      7,
                                      {.n_namesz = 4, .n_descsz = 8, .n_type = pvh ? 18 : 17},
                                      "Xen",
                                      0x1000000};

  return make_program (filling, PT_NOTE, &notes, sizeof notes);
}

GByteArray *
fixture_program (gboolean is_static)
{
  static const char loader[] = "/lib64/ld-linux-x86-64.so.2";

  return make_program (5000, is_static ? PT_GNU_STACK : PT_INTERP, loader, sizeof loader);
}

GByteArray *
fixture_module (gsize filling)
{
  GByteArray *out = g_byte_array_new ();
  Elf64_Ehdr header = elf_header (ET_REL, 0);

  g_byte_array_append (out, (guint8 *)&header, sizeof header);
  append_filling (out, filling);
  return out;
}

static void
put_u32 (guint8 *at, gsize value)
{
  for (guint i = 0; i < 4; i++)
    at[i] = (guint8)(value >> (8 * i));
}

GByteArray *
fixture_bzimage (const char *version, const guint8 *payload, gsize length)
{
  enum { SECTORS = 3, OFFSET = 0x40 };
  guint8 head[(SECTORS + 1) * 512 + OFFSET] = {0};
  GByteArray *out = g_byte_array_new ();
  g_autofree char *text = g_strdup_printf ("%s (someone@somewhere) #1 SMP", version);

  head[0x1f1] = SECTORS;
  memcpy (head + 0x202, "HdrS", 4);
  head[0x206] = 0x0f; /* protocol 2.15 */
  head[0x207] = 0x02;
  head[0x20f] = 0x04; /* the version's text: 0x400 + 0x200 */
  g_strlcpy ((char *)head + 0x600, text, 128);
  put_u32 (head + 0x248, OFFSET);
  put_u32 (head + 0x24c, length);
  g_byte_array_append (out, head, sizeof head);
  g_byte_array_append (out, payload, (guint)length);
  g_byte_array_append (out, (const guint8 *)"tail of the image", 17);
  return out;
}

GByteArray *
fixture_compress (Fixture *fixture, const char *const *words, const guint8 *data, gsize length)
{
  g_autofree char *program = g_find_program_in_path (words[0]);
  g_autofree char *plain = NULL, *packed = fixture_path (fixture, "packed");
  g_autoptr (VmArgv) argv = vm_argv_new ();
  g_autoptr (GError) error = NULL;
  int in, out, status = 0;
  vm_autofd pidfd = -1;
  pid_t pid;

  if (program == NULL)
    return NULL;
  plain = fixture_write (fixture, "plain", data, length);
  in = open (plain, O_RDONLY | O_CLOEXEC);
  out = open (packed, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  g_assert_cmpint (in, >=, 0);
  g_assert_cmpint (out, >=, 0);
  vm_argv_add (argv, program);
  vm_argv_add_strv (argv, words + 1);
  vm_argv_bind_stdio (argv, 0, in);
  vm_argv_bind_stdio (argv, 1, out);
  (void)vm_argv_spawn (argv, 0, &pid, &pidfd, &error);
  g_assert_no_error (error);
  g_assert_cmpint (waitpid (pid, &status, 0), ==, pid);
  g_assert_cmpint (status, ==, 0);
  return fixture_read (packed);
}

GByteArray *
fixture_read (const char *path)
{
  GError *error = NULL;
  char *data;
  gsize length;

  g_file_get_contents (path, &data, &length, &error);
  g_assert_no_error (error);
  return g_byte_array_new_take ((guint8 *)data, length);
}

void
fixture_assert_error (GError **error, ...)
{
  const char *word;
  va_list ap;

  g_assert_nonnull (*error);
  va_start (ap, error);
  while ((word = va_arg (ap, const char *)) != NULL)
    if (strstr ((*error)->message, word) == NULL)
      g_error ("'%s' is not in the message: %s", word, (*error)->message);
  va_end (ap);
  g_clear_error (error);
}
