//! The second thread: encodes and writes, or counts, while the first one drains.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;

use pyrec_schema::{Batch, Manifest};

use crate::{Error, Result};

/// Batches that may wait for the writer. When they do, the drain waits too, then the rings fill, then the program
/// waits: memory is bounded all the way.
const DEPTH: usize = 4;

/// Where a provider is in its own records, by their names; none for one that is gone.
pub(crate) type Marks = Vec<(Arc<str>, Option<u64>)>;

/// Where rows end: in a trace, or in counts.
pub(crate) trait Sink: Send + 'static {
    /// Takes rows, with where the provider is at their end; in a hurry it makes them safe at once. Says whether all rows
    /// up to here outlive the recorder, or are of no more use.
    fn write(&mut self, batch: &Batch, marks: Marks, hurry: bool) -> Result<bool, pyrec_schema::Error>;

    /// Makes everything up to here safe, with the facts as they are now.
    fn checkpoint(&mut self, manifest: Manifest) -> Result<(), pyrec_schema::Error>;

    /// Copies what there is.
    fn snapshot(&mut self) -> Result<(), pyrec_schema::Error>;

    /// Ends it. Returns its length in bytes.
    fn finish(self, manifest: Manifest) -> Result<u64, pyrec_schema::Error>;

    /// Its length so far, in bytes.
    fn bytes(&self) -> u64;

    /// Whether some of it would not have outlived a killed recorder.
    fn lacked_journal(&self) -> bool;
}

enum Message {
    /// RowWriter, where the provider is at their end, and whether it is in a hurry to forget what they were made from.
    Rows(Box<Batch>, Marks, bool),
    Checkpoint(Box<Manifest>),
    Snapshot,
    Finish(Box<Manifest>),
}

/// The way to the writer's thread.
pub(crate) struct Pipeline {
    /// Gone when there is nothing more to say.
    messages: Option<SyncSender<Message>>,
    /// Batches that the writer has emptied, to be filled again.
    emptied: Receiver<Batch>,
    bytes: Arc<AtomicU64>,
    /// How many batches are where a killed recorder does not take them along.
    safe: Arc<AtomicU64>,
    /// Whether some were not, since there was no room.
    lacked_journal: Arc<AtomicBool>,
    /// Gone when its result has been taken.
    thread: Option<JoinHandle<Result<u64, pyrec_schema::Error>>>,
}

impl Pipeline {
    /// Starts the thread, which owns the sink from now on.
    pub fn start(sink: impl Sink) -> Result<Pipeline> {
        let (messages, inbox) = sync_channel(DEPTH);
        let (give_back, emptied) = sync_channel(DEPTH + 1);
        let bytes = Arc::new(AtomicU64::new(sink.bytes()));
        let safe = Arc::new(AtomicU64::new(0));
        let lacked_journal = Arc::new(AtomicBool::new(sink.lacked_journal()));
        let thread = std::thread::Builder::new()
            .name("pyrec-writer".into())
            .spawn({
                let (bytes, safe, lacked_journal) = (bytes.clone(), safe.clone(), lacked_journal.clone());
                move || run(sink, &inbox, &give_back, &bytes, &safe, &lacked_journal)
            })
            .map_err(Error::system("start the writing thread"))?;
        Ok(Pipeline { messages: Some(messages), emptied, bytes, safe, lacked_journal, thread: Some(thread) })
    }

    /// A batch to fill, where one has come back.
    pub fn empty_batch(&self) -> Option<Batch> {
        self.emptied.try_recv().ok()
    }

    /// Passes rows on, with where the provider is at their end; waits while the writer is behind. In a hurry they are made
    /// safe at once.
    pub fn write(&mut self, batch: Batch, marks: Marks, hurry: bool) -> Result<()> {
        self.send(Message::Rows(Box::new(batch), marks, hurry))
    }

    /// How many batches, from the first on, are safe: a killed recorder does not take them along.
    pub fn safe(&self) -> u64 {
        self.safe.load(Ordering::Acquire)
    }

    /// Whether a killed recorder would have taken some along, since its journal had no room.
    pub fn lacked_journal(&self) -> bool {
        self.lacked_journal.load(Ordering::Relaxed)
    }

    /// Asks for a checkpoint after what was passed on so far, with the facts as they are now.
    pub fn checkpoint(&mut self, manifest: Manifest) -> Result<()> {
        self.send(Message::Checkpoint(Box::new(manifest)))
    }

    /// Asks for a copy of what there is.
    pub fn snapshot(&mut self) -> Result<()> {
        self.send(Message::Snapshot)
    }

    /// Length of the trace so far, in bytes.
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Writes the end of the trace. Returns its length in bytes.
    pub fn finish(mut self, manifest: Manifest) -> Result<u64> {
        self.send(Message::Finish(Box::new(manifest)))?;
        self.join()
    }

    fn send(&mut self, message: Message) -> Result<()> {
        if self.messages.as_ref().is_some_and(|messages| messages.send(message).is_ok()) {
            return Ok(());
        }
        // The thread hangs up only when the writer has failed: then its result says why.
        self.join().and_then(|_| Err(hung_up()))
    }

    fn join(&mut self) -> Result<u64> {
        self.messages = None;
        let thread = self.thread.take().ok_or_else(hung_up)?;
        Ok(thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?)
    }
}

fn hung_up() -> Error {
    Error::System { what: "write the trace", source: std::io::ErrorKind::BrokenPipe.into() }
}

fn run(
    mut sink: impl Sink,
    inbox: &Receiver<Message>,
    give_back: &SyncSender<Batch>,
    bytes: &AtomicU64,
    safe: &AtomicU64,
    lacked_journal: &AtomicBool,
) -> Result<u64, pyrec_schema::Error> {
    let mut batches = 0;
    for message in inbox {
        match message {
            Message::Rows(mut batch, marks, hurry) => {
                let is_safe = sink.write(&batch, marks, hurry)?;
                batches += 1;
                if is_safe {
                    safe.store(batches, Ordering::Release);
                }
                batch.clear();
                // Full only if nobody takes them back: then this one is simply dropped.
                let _ = give_back.try_send(*batch);
            }
            Message::Checkpoint(manifest) => {
                sink.checkpoint(*manifest)?;
                safe.store(batches, Ordering::Release);
            }
            Message::Snapshot => sink.snapshot()?,
            Message::Finish(manifest) => return sink.finish(*manifest),
        }
        bytes.store(sink.bytes(), Ordering::Relaxed);
        lacked_journal.fetch_or(sink.lacked_journal(), Ordering::Relaxed);
    }
    // The recorder is gone without a word: leave the trace as it is, cut short but whole.
    Ok(sink.bytes())
}
