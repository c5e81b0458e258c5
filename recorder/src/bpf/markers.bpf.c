// SPDX-License-Identifier: MIT OR GPL-2.0-only
//
// What runs when a marker is hit. It sends numbers; a code object's names travel once, ahead of the first event
// that needs them.
//
//     marker ─▶ site ─▶ thread state ─▶ frame ─▶ code ─▶ id ─▶ event
//                                                  │
//                                                  └─ not in `codes`: a definition first
//
// A code object's address identifies it for as long as it lives: `on_code_freed` sits on its destructor, so an
// address that is used again is a new code. `docs/markers.md` has the reasons.

#include "kernel.h"
#include <bpf/bpf_helpers.h>

// The kernel lets only programs that name a licence compatible with its own read memory.
char LICENSE[] SEC("license") = "Dual MIT/GPL";

#define MAX_SITES 64
#define SHORT_NAME 240
#define LONG_NAME 4096
#define TEXT 512

// How a marker's note says where an argument is.
enum operand { NOWHERE, CONSTANT, REGISTER, MEMORY };

// An argument: `constant`, a register, or what lies at `constant + base + (index << scale)`.
struct argument {
    s64 constant;
    u8 operand;
    u8 base;
    u8 index;
    u8 scale;
    u8 bytes;
    u8 is_signed;
    u8 has_index;
    u8 unused;
};

// A place in an interpreter's code where a marker is, and how that interpreter lays out its memory. Addresses are
// told as distances from the place itself, which makes them true wherever the file is loaded.
struct site {
    struct argument arguments[3];
    s64 way_distance;       // to the first pointer on the way to the code that runs
    s64 code_type_distance; // to PyCode_Type
    u16 way[4];             // where the next pointer is, in each structure on the way
    u16 steps;              // how many pointers there are, with the first one
    u16 frame_code;
    u16 frame_owner;
    u16 code_flags;
    u16 code_first_line;
    u16 code_file;
    u16 code_name;
    u16 code_qualname; // 0 where there is none
    u16 string_ascii;
    u16 string_data;
    u16 entry_at_creation; // 1: the entry marker fires when a generator is made, too
    u16 unused;
};

// Written before the first probe is placed; a probe's cookie is its site's number.
struct site sites[MAX_SITES];

// 1 from when the last probe is placed until the first one is removed. Placing them takes half a second on a busy
// machine: without this, a program that runs already would show returns without their entries for as long.
u32 watching;

enum kind {
    FUNCTION_ENTRY,
    FUNCTION_RETURN,
    LINE,
    GC_START,
    GC_DONE,
    IMPORT_START,
    IMPORT_DONE,
    AUDIT,
    DEFINED,
    FREED,
    LOST,
};

// How every record starts, and all that most of them are.
struct head {
    u64 time_ns;
    u32 pid;
    u32 tid;
    u64 what; // a code's id; gc: generation or count; import: found; lost: how many
    s32 line;
    u32 kind;
};

struct text {
    struct head head;
    s64 length; // of the string with its zero, negative where there is none
    char bytes[TEXT];
};

struct loss {
    struct head head;
    u64 from_ns;
};

// A string's characters as they lie in memory: `width` bytes each, 0 for UTF-8 with a zero at the end.
struct name {
    u32 bytes;
    u32 width;
};

struct definition {
    struct head head; // `what` is the id, `line` the first line, -1 where nobody knows it
    struct name file;
    struct name qualname;
    u32 found; // 0: the code was not found, and the names are the marker's own arguments
    u32 once;  // 1: the id stands for one event only
    u32 cut;   // 1: a name is longer than its room
    u32 plain; // 1: `qualname` is only a name
};

struct short_definition {
    struct definition definition;
    u8 file[SHORT_NAME];
    u8 qualname[SHORT_NAME];
};

struct long_definition {
    struct definition definition;
    u8 file[LONG_NAME];
    u8 qualname[LONG_NAME];
};

// Makes the generator of the Rust side know the layouts of the records.
const struct head head_layout;
const struct text text_layout;
const struct loss loss_layout;
const struct definition definition_layout;

struct code_key {
    u64 code;
    u32 pid;
    u32 image;
};

struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(max_entries, 1 << 17);
    __type(key, struct code_key);
    __type(value, u64);
} codes SEC(".maps");

struct losing {
    u64 count;
    u64 from_ns;
    u64 to_ns;
};

// Where threads that find no room in `losses` count together. The recorder puts it there.
#define ALL_OTHERS (~0ULL)

// Threads that have lost events and not told so yet.
struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(max_entries, 1 << 14);
    __type(key, u64);
    __type(value, struct losing);
} losses SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_RINGBUF);
    __uint(max_entries, 1 << 24);
} records SEC(".maps");

// Counts code objects, so that an id is never given twice.
u64 last_id;
// Counts interpreters that started: after an exec the same addresses hold other codes.
u32 image;
// How many entries `losses` has.
u64 losing_threads;

static __always_inline int count_loss(struct losing *losing, u64 now)
{
    if (__sync_fetch_and_add(&losing->count, 1) == 0)
        losing->from_ns = now;
    losing->to_ns = now;
    return 0;
}

// There was no room for an event.
static __noinline int lose(u64 thread, u64 now)
{
    u64 others = ALL_OTHERS;
    struct losing *losing = bpf_map_lookup_elem(&losses, &thread);
    if (losing)
        return count_loss(losing, now);
    struct losing first = { .count = 1, .from_ns = now, .to_ns = now };
    if (bpf_map_update_elem(&losses, &thread, &first, BPF_NOEXIST) == 0) {
        __sync_fetch_and_add(&losing_threads, 1);
        return 0;
    }
    losing = bpf_map_lookup_elem(&losses, &others);
    return losing ? count_loss(losing, now) : 0;
}

static __always_inline void fill(struct head *head, u64 thread, u64 now, enum kind kind)
{
    head->time_ns = now;
    head->pid = thread >> 32;
    head->tid = (u32)thread;
    head->kind = kind;
}

// Tells of what the thread has lost, if it has. Returns whether events may follow.
static __noinline bool tell_loss(u64 thread, u64 now)
{
    struct losing *losing = bpf_map_lookup_elem(&losses, &thread);
    if (!losing)
        return true;
    struct loss *loss = bpf_ringbuf_reserve(&records, sizeof *loss, 0);
    if (!loss)
        return false;
    fill(&loss->head, thread, now, LOST);
    loss->head.what = losing->count;
    loss->head.line = 0;
    loss->from_ns = losing->from_ns;
    bpf_ringbuf_submit(loss, BPF_RB_NO_WAKEUP);
    bpf_map_delete_elem(&losses, &thread);
    __sync_fetch_and_sub(&losing_threads, 1);
    return true;
}

static __always_inline bool may_record(u64 thread, u64 now)
{
    return losing_threads == 0 || tell_loss(thread, now);
}

static __always_inline int send(u64 thread, u64 now, enum kind kind, u64 what, s32 line)
{
    struct head *event = bpf_ringbuf_reserve(&records, sizeof *event, 0);
    if (!event)
        return lose(thread, now);
    fill(event, thread, now, kind);
    event->what = what;
    event->line = line;
    bpf_ringbuf_submit(event, BPF_RB_NO_WAKEUP);
    return 0;
}

// The verifier wants constant offsets into the context, so each register is a case of its own, in assembler: the
// compiler would fold cases written in C into one load at a computed offset.
#define REGISTER_CASE(number, name)                                                          \
    case number:                                                                             \
        asm volatile("%0 = *(u64 *)(%1 + %2)"                                                \
                     : "=r"(value)                                                           \
                     : "r"(registers), "i"(__builtin_offsetof(struct pt_regs, name)));       \
        return value

static __always_inline u64 read_register(struct pt_regs *registers, u8 number)
{
    u64 value;
    switch (number) {
    REGISTER_CASE(0, rax);
    REGISTER_CASE(1, rbx);
    REGISTER_CASE(2, rcx);
    REGISTER_CASE(3, rdx);
    REGISTER_CASE(4, rsi);
    REGISTER_CASE(5, rdi);
    REGISTER_CASE(6, rbp);
    REGISTER_CASE(7, rsp);
    REGISTER_CASE(8, r8);
    REGISTER_CASE(9, r9);
    REGISTER_CASE(10, r10);
    REGISTER_CASE(11, r11);
    REGISTER_CASE(12, r12);
    REGISTER_CASE(13, r13);
    REGISTER_CASE(14, r14);
    REGISTER_CASE(15, r15);
    REGISTER_CASE(16, rip);
    default: return 0;
    }
}

static __noinline s64 read_argument(struct pt_regs *registers, const struct argument *argument)
{
    u64 value = argument->constant;
    if (argument->operand != CONSTANT)
        value += read_register(registers, argument->base);
    if (argument->operand == MEMORY) {
        if (argument->has_index)
            value += read_register(registers, argument->index) << (argument->scale & 3);
        if (bpf_probe_read_user(&value, sizeof value, (void *)value))
            return 0;
    }
    u8 spare = (64 - 8 * argument->bytes) & 63;
    value <<= spare;
    return argument->is_signed ? (s64)value >> spare : (s64)(value >> spare);
}

static __always_inline struct site *find_site(struct pt_regs *registers)
{
    u64 number = bpf_get_attach_cookie(registers);
    return &sites[number & (MAX_SITES - 1)];
}

static __always_inline u64 read_pointer(u64 address)
{
    u64 value = 0;
    bpf_probe_read_user(&value, sizeof value, (void *)address);
    return value;
}

// What CPython 3.15 keeps in the lowest bits of a pointer.
#define TAG 7ULL

// The frame that the thread with the GIL executes. A null on the way ends as a null here: low addresses are never
// mapped, and a failed read gives zero.
static __always_inline u64 current_frame(struct pt_regs *registers, const struct site *site)
{
    u64 pointer = read_pointer(registers->rip + site->way_distance);
    for (int step = 0; step < 3; step++)
        if (step + 2 < site->steps)
            pointer = read_pointer(pointer + site->way[step]);
    return pointer;
}

static __always_inline u64 code_of(u64 frame, const struct site *site)
{
    return read_pointer(frame + site->frame_code) & ~TAG;
}

// CO_GENERATOR, CO_COROUTINE and CO_ASYNC_GENERATOR.
#define SUSPENDS (0x20 | 0x80 | 0x200)

// Whether the entry is not one: making a generator begins its frame on the thread's stack, and no return follows. A
// generator that is resumed owns its frame itself.
static __always_inline bool makes_generator(u64 frame, u64 code, const struct site *site)
{
    u32 flags = 0;
    u8 owner = 0;
    bpf_probe_read_user(&flags, sizeof flags, (void *)(code + site->code_flags));
    if (!(flags & SUSPENDS) || bpf_probe_read_user(&owner, sizeof owner, (void *)(frame + site->frame_owner)))
        return false;
    return owner == 0;
}

// Where a string's characters are.
struct characters {
    u64 address;
    struct name name;
};

// The start of every str object (Include/cpython/unicodeobject.h).
struct string {
    u64 references;
    u64 type;
    s64 length;
    s64 hash;
    u32 state; // from bit 0: interned 2, kind 3, compact 1, ascii 1
};

static __always_inline bool find_characters(u64 object, const struct site *site, struct characters *found)
{
    struct string string;
    if (bpf_probe_read_user(&string, sizeof string, (void *)object))
        return false;
    u32 width = string.state >> 2 & 7;
    bool compact = string.state >> 5 & 1, ascii = string.state >> 6 & 1;
    if (width == 0 || string.length < 0 || string.length > 1 << 20)
        return false;
    found->name.width = width;
    found->name.bytes = string.length * width;
    if (!compact)
        found->address = read_pointer(object + site->string_data);
    else
        found->address = object + (ascii ? site->string_ascii : site->string_data);
    return true;
}

// What a definition says.
struct facts {
    struct characters file;
    struct characters qualname;
    u64 id;
    s32 first_line;
    u32 found;
    u32 once;
    u32 cut;
    u32 plain;
};

static __always_inline bool read_facts(u64 code, u64 code_type, const struct site *site, struct facts *facts)
{
    s32 first_line = 0;
    if (read_pointer(code + 8) != code_type)
        return false;
    if (bpf_probe_read_user(&first_line, sizeof first_line, (void *)(code + site->code_first_line)))
        return false;
    facts->first_line = first_line;
    facts->plain = site->code_qualname == 0;
    u16 name = facts->plain ? site->code_name : site->code_qualname;
    return find_characters(read_pointer(code + site->code_file), site, &facts->file)
        && find_characters(read_pointer(code + name), site, &facts->qualname);
}

// Copies at most `room` bytes and says how many.
#define COPY_NAME(to, from, room)                                                            \
    do {                                                                                     \
        u32 bytes = (from).name.bytes;                                                       \
        if ((from).name.width == 0) {                                                        \
            long length = bpf_probe_read_user_str(to, room, (void *)(from).address);         \
            bytes = length < 0 ? 0 : length;                                                 \
        } else {                                                                             \
            if (bytes > (room)) {                                                            \
                bytes = (room);                                                              \
                facts->cut = 1;                                                              \
            }                                                                                \
            if (bpf_probe_read_user(to, bytes, (void *)(from).address))                      \
                bytes = 0;                                                                   \
        }                                                                                    \
        (from).name.bytes = bytes;                                                           \
    } while (0)

#define SEND_DEFINITION(type, room)                                                          \
    do {                                                                                     \
        struct type *record = bpf_ringbuf_reserve(&records, sizeof *record, 0);              \
        if (!record)                                                                         \
            return false;                                                                    \
        COPY_NAME(record->file, facts->file, room);                                          \
        COPY_NAME(record->qualname, facts->qualname, room);                                  \
        fill(&record->definition.head, thread, now, DEFINED);                                \
        record->definition.head.what = facts->id;                                            \
        record->definition.head.line = facts->first_line;                                    \
        record->definition.file = facts->file.name;                                          \
        record->definition.qualname = facts->qualname.name;                                  \
        record->definition.found = facts->found;                                             \
        record->definition.once = facts->once;                                               \
        record->definition.cut = facts->cut;                                                 \
        record->definition.plain = facts->plain;                                                     \
        bpf_ringbuf_submit(record, BPF_RB_NO_WAKEUP);                                        \
        return true;                                                                         \
    } while (0)

static __noinline bool send_definition(struct facts *facts, u64 thread, u64 now)
{
    bool short_enough = facts->file.name.bytes <= SHORT_NAME && facts->qualname.name.bytes <= SHORT_NAME;
    bool measured = facts->file.name.width != 0;
    if (short_enough && measured)
        SEND_DEFINITION(short_definition, SHORT_NAME);
    SEND_DEFINITION(long_definition, LONG_NAME);
}

// A code that `codes` does not know. Returns its id, 0 where there was no room to define it. When the code cannot be
// found, the marker's own words must do; then, and when `codes` is full, the id serves one event.
static __noinline u64 define(struct pt_regs *registers, const struct site *site, const struct code_key *key, u64 now)
{
    struct facts facts = {};
    facts.found = read_facts(key->code, registers->rip + site->code_type_distance, site, &facts);
    if (!facts.found) {
        facts.first_line = -1;
        facts.file.address = read_argument(registers, &site->arguments[0]);
        facts.qualname.address = read_argument(registers, &site->arguments[1]);
        facts.file.name.width = facts.qualname.name.width = 0;
    }
    u64 id = __sync_fetch_and_add(&last_id, 1) + 1;
    facts.id = id;
    facts.once = !facts.found || bpf_map_update_elem(&codes, key, &id, BPF_ANY) != 0;
    if (send_definition(&facts, bpf_get_current_pid_tgid(), now))
        return id;
    bpf_map_delete_elem(&codes, key);
    return 0;
}

static __always_inline int in_code(struct pt_regs *registers, enum kind kind)
{
    if (!watching)
        return 0;
    u64 now = bpf_ktime_get_ns();
    u64 thread = bpf_get_current_pid_tgid();
    const struct site *site = find_site(registers);
    if (!may_record(thread, now))
        return lose(thread, now);
    u64 frame = current_frame(registers, site);
    struct code_key key = { .code = code_of(frame, site), .pid = thread >> 32, .image = image };
    if (kind == FUNCTION_ENTRY && site->entry_at_creation && makes_generator(frame, key.code, site))
        return 0;
    u64 *known = bpf_map_lookup_elem(&codes, &key);
    u64 id = known ? *known : define(registers, site, &key, now);
    if (!id)
        return lose(thread, now);
    return send(thread, now, kind, id, read_argument(registers, &site->arguments[2]));
}

SEC("uprobe")
int on_function_entry(struct pt_regs *registers)
{
    return in_code(registers, FUNCTION_ENTRY);
}

SEC("uprobe")
int on_function_return(struct pt_regs *registers)
{
    return in_code(registers, FUNCTION_RETURN);
}

SEC("uprobe")
int on_line(struct pt_regs *registers)
{
    return in_code(registers, LINE);
}

static __always_inline int with_number(struct pt_regs *registers, enum kind kind)
{
    if (!watching)
        return 0;
    u64 now = bpf_ktime_get_ns();
    u64 thread = bpf_get_current_pid_tgid();
    if (!may_record(thread, now))
        return lose(thread, now);
    return send(thread, now, kind, read_argument(registers, &find_site(registers)->arguments[0]), 0);
}

SEC("uprobe")
int on_gc_start(struct pt_regs *registers)
{
    return with_number(registers, GC_START);
}

SEC("uprobe")
int on_gc_done(struct pt_regs *registers)
{
    return with_number(registers, GC_DONE);
}

static __always_inline int with_text(struct pt_regs *registers, enum kind kind)
{
    if (!watching)
        return 0;
    u64 now = bpf_ktime_get_ns();
    u64 thread = bpf_get_current_pid_tgid();
    const struct site *site = find_site(registers);
    if (!may_record(thread, now))
        return lose(thread, now);
    struct text *text = bpf_ringbuf_reserve(&records, sizeof *text, 0);
    if (!text)
        return lose(thread, now);
    fill(&text->head, thread, now, kind);
    text->head.what = read_argument(registers, &site->arguments[1]);
    text->head.line = 0;
    text->length = bpf_probe_read_user_str(text->bytes, TEXT, (void *)read_argument(registers, &site->arguments[0]));
    bpf_ringbuf_submit(text, BPF_RB_NO_WAKEUP);
    return 0;
}

SEC("uprobe")
int on_import_start(struct pt_regs *registers)
{
    return with_text(registers, IMPORT_START);
}

SEC("uprobe")
int on_import_done(struct pt_regs *registers)
{
    return with_text(registers, IMPORT_DONE);
}

SEC("uprobe")
int on_audit(struct pt_regs *registers)
{
    return with_text(registers, AUDIT);
}

// code_dealloc(PyObject *): the address may stand for another code from now on.
SEC("uprobe")
int on_code_freed(struct pt_regs *registers)
{
    u64 thread = bpf_get_current_pid_tgid();
    struct code_key key = { .code = registers->rdi, .pid = thread >> 32, .image = image };
    u64 *known = bpf_map_lookup_elem(&codes, &key);
    if (!known)
        return 0;
    struct head *freed = bpf_ringbuf_reserve(&records, sizeof *freed, 0);
    if (freed) {
        fill(freed, thread, 0, FREED);
        freed->what = *known;
        freed->line = 0;
        bpf_ringbuf_submit(freed, BPF_RB_NO_WAKEUP);
    }
    bpf_map_delete_elem(&codes, &key);
    return 0;
}

// Py_InitializeFromConfig(): a new program under an old pid has its codes where the old one had others.
SEC("uprobe")
int on_interpreter_start(void)
{
    __sync_fetch_and_add(&image, 1);
    return 0;
}

// Only there to be placed: a probe keeps the semaphore of a marker raised that nobody wants to trap on.
SEC("uprobe")
int on_nothing(void)
{
    return 0;
}
