//! What is open at this moment, so that the next file of a rotated recording can begin with it.
//!
//! ```text
//! file 1   E a   E b   R b   E c │ file 2   process, thread, O a, O c │ R c   R a
//!                                           └──────── carried ────────┘
//! ```

use std::collections::BTreeMap;

use pyrec_schema::{Batch, CodeId, Event, Marker, TextId};
use rustc_hash::FxHashSet;

/// Follows the rows of all threads.
#[derive(Debug, Default)]
pub(crate) struct OpenState {
    processes: BTreeMap<i32, Event>,
    threads: BTreeMap<(i32, i32), Thread>,
    /// The code of this file's rows.
    codes: FxHashSet<CodeId>,
    latest_ns: i64,
}

/// One thread.
#[derive(Debug, Default)]
struct Thread {
    start: Option<Event>,
    open: Vec<Frame>,
    /// The time of its last row.
    last_ns: i64,
}

/// An open call.
#[derive(Clone, Copy, Debug)]
struct Frame {
    code: CodeId,
    line: i32,
}

impl OpenState {
    /// Reads on.
    pub fn follow(&mut self, batch: &Batch) {
        let mut last = None;
        for event in batch.iter() {
            if event.marker.is_event() || event.marker == Marker::FunctionOpen {
                if last != Some(event.code) {
                    self.codes.insert(event.code);
                    last = Some(event.code);
                }
                let thread = self.threads.entry((event.pid, event.tid)).or_default();
                thread.last_ns = event.time_ns;
                self.latest_ns = self.latest_ns.max(event.time_ns);
                thread.follow(&event);
            } else {
                self.note(event);
            }
        }
    }

    fn note(&mut self, event: Event) {
        let thread = (event.pid, event.tid);
        match event.marker {
            Marker::ProcessStart => {
                // Another program may have taken the place of the one with that number.
                self.threads.retain(|&(pid, _), _| pid != event.pid);
                self.processes.insert(event.pid, event);
            }
            Marker::ProcessExit => {
                self.threads.retain(|&(pid, _), _| pid != event.pid);
                self.processes.remove(&event.pid);
            }
            Marker::ThreadStart => {
                self.threads
                    .insert(thread, Thread { start: Some(event), open: Vec::new(), last_ns: event.time_ns });
            }
            Marker::ThreadExit => drop(self.threads.remove(&thread)),
            _ => {}
        }
    }

    /// The time of the latest event.
    pub fn latest_ns(&self) -> i64 {
        self.latest_ns
    }

    /// The code of the rows since this was last called.
    pub fn take_codes(&mut self) -> FxHashSet<CodeId> {
        std::mem::take(&mut self.codes)
    }

    /// The rows that say what is open, each as of the last row of its thread.
    pub fn rows(&mut self) -> Batch {
        let mut batch = Batch::default();
        for process in self.processes.values() {
            let main = self.threads.get(&(process.pid, process.tid));
            let time_ns = main.map_or(process.time_ns, |thread| thread.last_ns);
            batch.push(Event { time_ns, ..*process });
        }
        for (&(pid, tid), thread) in &self.threads {
            let time_ns = thread.last_ns;
            thread.start.iter().for_each(|start| batch.push(Event { time_ns, ..*start }));
            for &Frame { code, line } in &thread.open {
                let (marker, value, text) = (Marker::FunctionOpen, None, TextId::NONE);
                self.codes.insert(code);
                batch.push(Event { time_ns, pid, tid, marker, code, line, value, text });
            }
        }
        batch
    }
}

impl Thread {
    fn follow(&mut self, event: &Event) {
        let Event { code, line, .. } = *event;
        match event.marker {
            Marker::FunctionEntry | Marker::FunctionOpen => self.open.push(Frame { code, line }),
            Marker::FunctionReturn => {
                // What lies above never returned. A return of what was not seen to begin changes nothing.
                if let Some(at) = self.open.iter().rposition(|frame| frame.code == code) {
                    self.open.truncate(at);
                }
            }
            Marker::Line => {
                if let Some(frame) = self.open.last_mut().filter(|frame| frame.code == code) {
                    frame.line = line;
                }
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(marker: Marker, tid: i32, code: u32, line: i32) -> Event {
        let time_ns = i64::from(line);
        Event { time_ns, pid: 7, tid, marker, code: CodeId(code), line, value: None, text: TextId(code) }
    }

    fn carried(carry: &mut OpenState) -> Vec<(i64, i32, Marker, u32, i32)> {
        let rows = carry.rows();
        rows.iter().map(|row| (row.time_ns, row.tid, row.marker, row.code.0, row.line)).collect()
    }

    #[test]
    fn what_is_open_is_carried_with_the_line_that_runs() {
        use Marker::{FunctionEntry, FunctionReturn, Line, ProcessStart, ThreadExit, ThreadStart};
        let mut carry = OpenState::default();
        let first = [
            event(ProcessStart, 7, 0, 0),
            event(ThreadStart, 7, 0, 0),
            event(FunctionEntry, 7, 1, 10),
            event(Line, 7, 1, 12),
            event(FunctionEntry, 7, 2, 20),
            event(FunctionReturn, 7, 2, 21),
            event(FunctionEntry, 7, 3, 30),
            event(ThreadStart, 8, 0, 0),
            event(FunctionEntry, 8, 4, 40),
        ];
        carry.follow(&first.into_iter().collect());
        let expected = vec![
            (30, 7, ProcessStart, 0, 0),
            (30, 7, ThreadStart, 0, 0),
            (30, 7, Marker::FunctionOpen, 1, 12),
            (30, 7, Marker::FunctionOpen, 3, 30),
            (40, 8, ThreadStart, 0, 0),
            (40, 8, Marker::FunctionOpen, 4, 40),
        ];
        assert_eq!(carried(&mut carry), expected);
        // The return of the first takes the third along.
        let second = [event(FunctionReturn, 7, 1, 30), event(ThreadExit, 8, 0, 0)];
        carry.follow(&second.into_iter().collect());
        assert_eq!(carried(&mut carry), expected[..2]);
        carry.follow(&[event(Marker::ProcessExit, 7, 0, 0)].into_iter().collect());
        assert_eq!(carried(&mut carry), []);
    }
}
