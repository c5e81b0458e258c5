// SPDX-License-Identifier: MIT OR GPL-2.0-only
//
// The BPF programs: a handler for each marker. It sends an event or only counts (`tally.h`). The names of a code
// object are sent once, in a definition ahead of its first event.
//
//     marker ─▶ site ─▶ register ─▶ frame ─▶ code ─▶ event
//                                             │
//                                             └─ not in `codes`: a definition first
//
// `docs/reference/markers.md` has the reasons.

#include "codes.h"
#include "entered.h"
#include "events.h"
#include "family.h"
#include "frame.h"
#include "site.h"
#include "tally.h"

// The helpers that read memory require a licence that is compatible with the GPL.
char LICENSE[] SEC("license") = "Dual MIT/GPL";

// 1 while all probes are attached. Attaching takes up to half a second on a busy machine; without this switch a running
// process would show returns without entries for that time.
u32 watching;

// Number of hits while `counting` is 1: a test compares it with rows plus losses.
u32 counting;
u64 hits;

static __always_inline void count_hit(void)
{
    if (counting)
        __sync_fetch_and_add(&hits, 1);
}

// The location of a string's characters.
struct characters {
    u64 address;
    struct name name;
};

static __always_inline bool find_characters(u64 object, const struct site *site, struct characters *found)
{
    struct string string;
    if (read_user(&string, sizeof string, object))
        return false;
    u32 width = width_of(&string);
    if (width == 0 || string.length < 0 || string.length > 1 << 20)
        return false;
    found->name.width = width;
    found->name.bytes = string.length * width;
    if (!is_compact(&string))
        found->address = read_pointer(object + site->string_data);
    else
        found->address = object + (is_compact_ascii(&string) ? site->string_ascii : site->string_data);
    return true;
}

// The content of a definition.
struct facts {
    u64 what;
    struct characters file;
    struct characters qualname;
    s32 first_line;
    u32 found;
    u32 cut;
    u32 plain;
    u64 number; // of the definition
};

static __always_inline bool read_facts(u64 code, const struct site *site, struct facts *facts)
{
    s32 first_line = 0;
    if (read_user(&first_line, sizeof first_line, code + site->code_first_line))
        return false;
    facts->what = code;
    facts->first_line = first_line;
    facts->plain = site->code_qualname == 0;
    u16 name = facts->plain ? site->code_name : site->code_qualname;
    return find_characters(read_pointer(code + site->code_file), site, &facts->file)
        && find_characters(read_pointer(code + name), site, &facts->qualname);
}

// Copies at most `room` bytes and stores the number of copied bytes.
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
            if (read_user(to, bytes, (from).address))                                        \
                bytes = 0;                                                                   \
        }                                                                                    \
        (from).name.bytes = bytes;                                                           \
    } while (0)

#define SEND_DEFINITION(type, room)                                                          \
    do {                                                                                     \
        struct type *body = bpf_ringbuf_reserve(&bodies, sizeof *body, 0);                   \
        if (!body)                                                                           \
            return false;                                                                    \
        COPY_NAME(body->file, facts->file, room);                                            \
        COPY_NAME(body->qualname, facts->qualname, room);                                    \
        u64 number = begin(&body->definition.body, DEFINED);                                 \
        if (!facts->found)                                                                   \
            facts->what = ONCE | number;                                                     \
        facts->number = number;                                                              \
        body->definition.what = facts->what;                                                 \
        body->definition.file = facts->file.name;                                            \
        body->definition.qualname = facts->qualname.name;                                    \
        body->definition.first_line = facts->first_line;                                     \
        body->definition.found = facts->found;                                               \
        body->definition.cut = facts->cut;                                                   \
        body->definition.plain = facts->plain;                                               \
        if (!claim(&place)) {                                                                \
            bpf_ringbuf_discard(body, BPF_RB_NO_WAKEUP);                                     \
            return false;                                                                    \
        }                                                                                    \
        bpf_ringbuf_submit(body, BPF_RB_NO_WAKEUP);                                          \
        put(place, thread, now, DEFINED, number, 0);                                         \
        return true;                                                                         \
    } while (0)

static __noinline bool send_definition(struct facts *facts, u64 thread, u64 now)
{
    bool short_enough = facts->file.name.bytes <= SHORT_NAME && facts->qualname.name.bytes <= SHORT_NAME;
    bool measured = facts->file.name.width != 0;
    u64 place = 0;
    if (short_enough && measured)
        SEND_DEFINITION(short_definition, SHORT_NAME);
    SEND_DEFINITION(long_definition, LONG_NAME);
}

// Result of `identify` for a hit that is not an event.
#define NO_EVENT (~0ULL)

// The slow path: finds a code object that is not defined yet or not in the learned register, and defines it. Returns
// the id for the event; 0 if there was no room for the definition.
static __noinline u64 identify(struct pt_regs *registers, struct site *site, u64 now)
{
    u64 thread = current_thread();
    u32 pid = thread >> 32;
    u64 names = said_names(registers, site);
    u64 frame = frame_at_hand(registers, site);
    u64 code = code_at_hand(registers, site, frame);
    struct facts facts = {};
    facts.found = is_named(registers, code, site);
    if (!facts.found) {
        frame = current_frame(registers, site);
        code = code_of(frame, site);
        facts.found = is_named(registers, code, site);
        if (facts.found)
            learn(registers, site, frame, code);
    }
    if (facts.found && can_suspend(code, site))
        names |= SUSPENDS_BIT;
    if (site->entry_at_creation && names & SUSPENDS_BIT && is_being_made(frame, site))
        return NO_EVENT;
    if (facts.found && find_code(code, pid, names))
        return code;
    if (!facts.found || !read_facts(code, site, &facts)) {
        // Such calls cannot be told apart.
        if (tallying)
            return 0;
        // The marker's arguments are the names.
        facts.found = 0;
        facts.first_line = -1;
        facts.plain = 1;
        facts.file.address = read_argument(registers, &site->arguments[0]);
        facts.qualname.address = read_argument(registers, &site->arguments[1]);
        facts.file.name.width = facts.qualname.name.width = 0;
    }
    if (!may_record(thread) || !send_definition(&facts, thread, now))
        return 0;
    if (facts.found)
        keep_code(code, pid, names, now);
    if (tallying)
        begin_tally(code, pid, facts.number);
    return facts.what;
}

static __always_inline int in_code(struct pt_regs *registers, enum kind kind)
{
    if (!watching)
        return 0;
    u64 now = bpf_ktime_get_ns();
    u64 thread = current_thread();
    u32 pid = thread >> 32;
    struct site *site = find_site(registers);
    u64 frame = frame_at_hand(registers, site);
    u64 code = kind != FUNCTION_ENTRY && frame ? entered_code(frame, pid, kind == FUNCTION_RETURN) : 0;
    if (!code)
        code = code_at_hand(registers, site, frame);
    struct code *known = code ? find_code(code, pid, said_names(registers, site)) : 0;
    bool is_event = true;
    if (!known) {
        code = identify(registers, site, now);
        is_event = code != NO_EVENT;
    } else if (kind == FUNCTION_ENTRY && known->names & SUSPENDS_BIT && site->entry_at_creation) {
        is_event = !is_being_made(frame, site);
    }
    if (!is_event)
        return 0;
    count_hit();
    if (!code && !tallying)
        return lose(thread, now);
    if (kind == FUNCTION_ENTRY && known && frame)
        enter_frame(frame, pid, code);
    if (tallying)
        return tally_call(thread, now, kind, code);
    return send(thread, now, kind, code, read_argument(registers, &site->arguments[2]));
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
    if (tallying && watching) {
        tally_hit(LINE);
        return 0;
    }
    return in_code(registers, LINE);
}

static __always_inline int with_number(struct pt_regs *registers, enum kind kind)
{
    if (!watching)
        return 0;
    count_hit();
    if (tallying) {
        tally_hit(kind);
        return 0;
    }
    u64 number = read_argument(registers, &find_site(registers)->arguments[0]);
    return send(current_thread(), bpf_ktime_get_ns(), kind, number, 0);
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
    count_hit();
    if (tallying) {
        tally_hit(kind);
        return 0;
    }
    u64 now = bpf_ktime_get_ns(), place = 0;
    u64 thread = current_thread();
    const struct site *site = find_site(registers);
    struct text *text = may_record(thread) ? bpf_ringbuf_reserve(&bodies, sizeof *text, 0) : 0;
    if (!text)
        return lose(thread, now);
    u64 number = begin(&text->body, kind);
    text->length = bpf_probe_read_user_str(text->bytes, TEXT, (void *)read_argument(registers, &site->arguments[0]));
    if (!claim(&place)) {
        bpf_ringbuf_discard(text, BPF_RB_NO_WAKEUP);
        return lose(thread, now);
    }
    bpf_ringbuf_submit(text, BPF_RB_NO_WAKEUP);
    put(place, thread, now, kind, number, read_argument(registers, &site->arguments[1]));
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

// code_dealloc(PyObject *): the address may be reused for another code object.
SEC("uprobe")
int on_code_freed(struct pt_regs *registers)
{
    u64 thread = current_thread(), place;
    if (forget_code(registers->rdi, thread >> 32) && claim(&place))
        put(place, thread, 0, FREED, registers->rdi, 0);
    return 0;
}

// After exit or exec, the addresses under this pid may belong to other code objects.
static __always_inline int on_process_gone(void)
{
    u64 thread = current_thread(), place;
    bool is_whole = thread >> 32 == (u32)thread;
    if (is_whole && forget_process(thread >> 32) && claim(&place))
        put(place, thread, 0, GONE, 0, 0);
    return 0;
}

SEC("raw_tp/sched_process_exit")
int on_process_exit(void *context)
{
    (void)context;
    leave_family();
    if (tallying)
        end_stack(current_thread(), bpf_ktime_get_ns());
    return on_process_gone();
}

// The arguments of the kernel's trace points (include/trace/events/sched.h, task.h).
struct execution {
    u64 task, old_tid, program;
};

struct new_task {
    u64 common;
    u32 tid;
};

// If a thread other than the main thread calls exec, it takes over the pid; `old_tid` is its former id.
SEC("raw_tp/sched_process_exec")
int on_process_exec(struct execution *context)
{
    u64 old_number = (u32)context->old_tid;
    if (is_member() || bpf_map_lookup_elem(&family, &old_number)) {
        join_family(bpf_get_current_pid_tgid() >> 32);
        call_recorder();
    }
    if (tallying)
        end_stack((current_thread() >> 32) << 32 | old_number, bpf_ktime_get_ns());
    return on_process_gone();
}

// Runs in the parent, before the new task runs. Threads become members, too, which is harmless.
SEC("tracepoint")
int on_new_task(struct new_task *context)
{
    if (!everyone && is_member())
        join_family(context->tid);
    return 0;
}

// An empty program. A probe with it raises the semaphore of a marker without trapping on the marker.
SEC("uprobe")
int on_nothing(void)
{
    return 0;
}
