//! The provider on a process that runs already.

use super::super::elf_image::ElfImage;
use super::*;

/// A program that runs already and calls `leaf` as often as it is told. Reading by `os.read` calls nothing that is
/// written in Python.
const SERVICE: &str = "\
import os
def leaf(): pass
def burst(n):
    for _ in range(n): leaf()
print('ready', flush=True)
while line := os.read(0, 100):
    burst(int(line))
    print('done', int(line), flush=True)
";

/// A running [`SERVICE`].
struct Service {
    waiting: HeldPython,
    answers: std::io::BufReader<std::process::ChildStdout>,
    script: Script,
}

impl Service {
    fn new(python: &Interpreter) -> Service {
        let script = Script::new(SERVICE);
        let mut waiting = HeldPython::new(python, &[&script.path()]);
        waiting.say("go");
        let answers = std::io::BufReader::new(waiting.child.stdout.take().expect("piped"));
        let mut service = Service { waiting, answers, script };
        assert_eq!(service.answer(), "ready\n");
        service
    }

    fn answer(&mut self) -> String {
        let mut answer = String::new();
        std::io::BufRead::read_line(&mut self.answers, &mut answer).expect("it answers");
        answer
    }

    fn burst(&mut self, calls: u64) {
        self.waiting.say(&calls.to_string());
        assert_eq!(self.answer(), format!("done {calls}\n"), "the program's output is its own");
    }

    /// The counters that switch the markers on, read from the process's memory.
    fn semaphores(&self) -> BTreeMap<String, u16> {
        use std::os::unix::fs::FileExt;
        let image = ElfImage::read(Path::new("/usr/bin/python3.11")).expect("an ELF file");
        let memory = File::open(format!("/proc/{}/mem", self.waiting.pid())).expect("we may read it");
        let mut found = BTreeMap::new();
        for note in image.notes {
            let mut bytes = [0; 2];
            // The program is not position independent: its addresses are those of the file.
            memory.read_exact_at(&mut bytes, note.semaphore.expect("it has one")).expect("it is mapped");
            found.insert(note.name, u16::from_le_bytes(bytes));
        }
        found
    }

    fn end(self) {
        let HeldPython { mut child, input } = self.waiting;
        drop(input);
        assert!(child.wait().expect("it is our child").success());
    }
}

#[test]
fn a_running_process_is_left_as_it_was() {
    let Some(python) = debian("a_running_process_is_left_as_it_was") else { return };
    let mut service = Service::new(&python);
    let none: Vec<String> = vec![];
    let raised = |service: &Service| -> Vec<String> {
        service.semaphores().into_iter().filter(|(_, count)| *count > 0).map(|(name, _)| name).collect()
    };
    for calls in [1000, 2000] {
        assert_eq!(raised(&service), none);
        let mut usdt = Usdt::attach_processes(&[service.waiting.pid()], &MarkerGroup::DEFAULT, Mode::Stream)
            .expect("the markers attach");
        let markers = [
            "function__entry",
            "function__return",
            "gc__done",
            "gc__start",
            "import__find__load__done",
            "import__find__load__start",
            // Not requested, but in 3.11 entries fire only with it.
            "line",
        ];
        assert_eq!(raised(&service), markers);
        service.burst(calls);
        let mut recording = Recording::new();
        usdt.stop(&mut recording.rows).expect("records are whole");
        assert_eq!(raised(&service), none);
        service.burst(10);
        drop(usdt);
        let recorded = recording.read(String::new());
        let leaf = format!("{}:2:leaf", service.script.path());
        let file = service.script.path();
        assert_eq!(recorded.counts(Marker::FunctionEntry, &file).get(&leaf), Some(&calls));
        assert_eq!(recorded.counts(Marker::FunctionReturn, &file).get(&leaf), Some(&calls));
        assert_eq!(recorded.of(Marker::Line).count(), 0);
    }
    service.end();
}

#[test]
fn what_is_recorded_and_what_is_lost_is_all_there_was() {
    let Some(python) = debian("what_is_recorded_and_what_is_lost_is_all_there_was") else { return };
    const CALLS: u64 = 20_000;
    let mut service = Service::new(&python);
    let attached = Usdt::attach(
        &interpreters_of(&[service.waiting.pid()]).expect("it runs one"),
        &[service.waiting.pid()],
        &[MarkerGroup::Function],
        sending(1 << 16),
    );
    let mut usdt = attached.expect("the markers attach");
    usdt.bpf.count_hits();
    let mut recording = Recording::new();
    // The ring is not drained during the first burst; the second one starts with an empty ring and fills it again.
    service.burst(CALLS);
    usdt.drain(&mut recording.rows).expect("records are whole");
    service.burst(CALLS);
    usdt.stop(&mut recording.rows).expect("records are whole");
    let recorded = recording.read(String::new());
    let rows = recorded.events.iter().filter(|event| event.marker.is_event()).count() as u64;
    let lost: Vec<LostEvents> =
        recorded.events.iter().filter_map(|event| LostEvents::from_event(event, &recorded.names)).collect();
    let lost_events: u64 = lost.iter().map(|lost| lost.count).sum();
    // Twice: `burst` once and `leaf` as often as said, each entered and left.
    let expected = 2 * 2 * (1 + CALLS);
    assert_eq!((rows + lost_events, usdt.bpf.hits()), (expected, expected), "{lost:?}");
    assert!(lost_events > rows && lost.len() == 2, "{lost:?}");
    assert_eq!(recorded.lost, lost_events);
    for lost in &lost {
        assert_eq!((lost.pid, lost.tid), (service.waiting.pid(), service.waiting.pid()));
        assert!(lost.from_ns < lost.to_ns, "{lost:?}");
    }
    service.end();
}

#[test]
fn each_thread_tells_its_own_losses() {
    // Generators and throw() make markers in 3.15 that are none or stand alone; names go beside the events.
    let script = Script::new(
        "import sys, threading\ndef leaf(): yield 1\n\
         def work(n):\n    exec(f'def f{n}(): pass\\nf{n}()')\n    for _ in range(4000):\n        list(leaf())\n\
         print('ready', flush=True)\nfor line in sys.stdin:\n\
         \x20   threads = [threading.Thread(target=work, args=[n]) for n in range(4)]\n\
         \x20   for thread in threads: thread.start()\n    for thread in threads: thread.join()\n\
         \x20   print('done', flush=True)\n",
    );
    for python in interpreters("each_thread_tells_its_own_losses", &[9, 11, 15]) {
        let mut waiting = HeldPython::new(&python, &["-u", &script.path()]);
        waiting.say("go");
        let mut answers = std::io::BufReader::new(waiting.child.stdout.take().expect("piped"));
        let mut answer = || {
            let mut answer = String::new();
            std::io::BufRead::read_line(&mut answers, &mut answer).expect("it answers");
            answer
        };
        assert_eq!(answer(), "ready\n");
        let pids = [waiting.pid()];
        let attached = Usdt::attach(
            &interpreters_of(&pids).expect("it runs one"),
            &pids,
            &MarkerGroup::DEFAULT,
            sending(1 << 14),
        );
        let mut usdt = attached.expect("the markers attach");
        usdt.bpf.count_hits();
        let mut recording = Recording::new();
        for _ in 0..2 {
            waiting.say("again");
            assert_eq!(answer(), "done\n");
            usdt.drain(&mut recording.rows).expect("events are whole");
        }
        usdt.stop(&mut recording.rows).expect("events are whole");
        let hits = usdt.bpf.hits();
        let HeldPython { mut child, input } = waiting;
        drop(input);
        assert!(child.wait().expect("it is our child").success());
        let recorded = recording.read(String::new());
        let rows = recorded.events.iter().filter(|event| event.marker.is_event()).count() as u64;
        let lost: Vec<LostEvents> = recorded
            .events
            .iter()
            .filter_map(|event| LostEvents::from_event(event, &recorded.names))
            .collect();
        let sum: u64 = lost.iter().map(|lost| lost.count).sum();
        // 3.15 tells of the end of what it runs after an `__init__`: a thread has one, and no entry of it.
        let skipped_cleanups = usdt.codes.skipped_cleanups;
        assert_eq!(rows + skipped_cleanups + sum, hits, "{}: {lost:?}", python.image.display());
        assert!(sum > rows && rows > 0, "{}: {rows} rows, {sum} lost", python.image.display());
        let tids: std::collections::BTreeSet<i32> = lost.iter().map(|lost| lost.tid).collect();
        assert!(tids.len() >= 8, "eight threads, and the first one at times: {tids:?}");
    }
}

#[test]
fn taking_begins_and_ends_for_all_markers_at_once() {
    let Some(python) = debian("taking_begins_and_ends_for_all_markers_at_once") else { return };
    let script = Script::new("def leaf(): pass\nprint('ready', flush=True)\nwhile True: leaf()\n");
    let mut waiting = HeldPython::new(&python, &[&script.path()]);
    waiting.say("go");
    let mut answers = std::io::BufReader::new(waiting.child.stdout.take().expect("piped"));
    std::io::BufRead::read_line(&mut answers, &mut String::new()).expect("it says that it is ready");
    let mut usdt = Usdt::attach_processes(&[waiting.pid()], &[MarkerGroup::Function], Mode::Stream)
        .expect("the markers attach");
    let mut recording = Recording::new();
    while usdt.drain(&mut recording.rows).expect("events are whole") <= 20 {
        std::thread::sleep(Duration::from_millis(5));
    }
    usdt.stop(&mut recording.rows).expect("records are whole");
    waiting.child.kill().and_then(|()| waiting.child.wait()).expect("it is our child");
    let recorded = recording.read(String::new());
    let count = |marker| recorded.counts(marker, &script.path()).into_values().sum::<u64>();
    let (entries, returns) = (count(Marker::FunctionEntry), count(Marker::FunctionReturn));
    assert!(entries > 10, "{entries}");
    // The call that was open at the start, or the one that was at the end.
    assert!(entries.abs_diff(returns) <= 1, "{entries} entries, {returns} returns");
}
