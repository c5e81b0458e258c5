//! The agent enters a Python however it is started, and the program behaves as without it.

mod support;

use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};

use support::{Python, Recording, RecordingOptions, Trace, pythons, run};

const VERSIONS: [u32; 8] = [8, 9, 10, 11, 12, 13, 14, 15];

/// A program that calls `marked` three times.
const MARKED: &str = "def marked(): pass\nfor _ in range(3): marked()\n";

/// The number of calls of `marked` in each process that called it.
fn calls_of_marked(trace: &Trace) -> Vec<u64> {
    let calls = trace.processes.iter().flat_map(|process| {
        let codes = process.codes();
        let files: std::collections::BTreeSet<String> = codes.values().map(|code| code.0.clone()).collect();
        let counts = files.iter().flat_map(|file| process.counts(Path::new(file))).collect::<Vec<_>>();
        counts.into_iter().filter(|(code, _)| code.2 == "marked").map(|(_, [entries, returns])| {
            assert_eq!(entries, returns);
            entries
        })
    });
    calls.collect()
}

/// Records a command and checks its calls of `marked`. The command is created for a directory that
/// contains `marked.py`.
fn check(python: &Python, expected: &[u64], command: impl FnOnce(&Recording, &Path) -> Command) {
    let directory = tempfile::tempdir().expect("a temporary directory");
    fs::write(directory.path().join("marked.py"), MARKED).expect("the file is written");
    let recording = Recording::start(RecordingOptions::default());
    run(&mut command(&recording, directory.path()));
    let trace = recording.finish();
    assert_eq!(calls_of_marked(&trace), expected, "{python:?}: {:?}", trace.notices());
}

#[test]
fn scripts_modules_commands_and_standard_input() {
    for python in pythons(&VERSIONS) {
        for options in [&[][..], &["-I"], &["-E"], &["-S"], &["-I", "-S", "-B", "-X", "dev"], &["-O"]] {
            check(&python, &[3], |recording, directory| {
                let mut command = recording.command(&python.path);
                command.args(options).arg(directory.join("marked.py"));
                command
            });
            check(&python, &[3], |recording, _| {
                let mut command = recording.command(&python.path);
                command.args(options).args(["-c", MARKED]);
                command
            });
        }
        check(&python, &[3], |recording, directory| {
            let mut command = recording.command(&python.path);
            command.args(["-m", "marked"]).current_dir(directory);
            command
        });
        check(&python, &[3], |recording, directory| {
            let mut command = recording.command(&python.path);
            command.stdin(fs::File::open(directory.join("marked.py")).expect("the file is opened"));
            command
        });
        check(&python, &[3], |recording, directory| {
            let mut command = recording.command(&python.path);
            command.stdin(Stdio::null()).arg("-i").arg(directory.join("marked.py"));
            command
        });
    }
}

#[test]
fn directories_zip_files_virtual_environments_and_console_scripts() {
    for python in pythons(&VERSIONS) {
        check(&python, &[3], |recording, directory| {
            fs::rename(directory.join("marked.py"), directory.join("__main__.py"))
                .expect("the file is written");
            let mut command = recording.command(&python.path);
            command.arg(directory);
            command
        });
        check(&python, &[3], |recording, directory| {
            let app = directory.join("app");
            fs::create_dir(&app).expect("the file is written");
            fs::write(app.join("__main__.py"), MARKED).expect("the file is written");
            run(Command::new(&python.path).args(["-m", "zipapp"]).arg(&app));
            let mut command = recording.command(&python.path);
            command.arg(directory.join("app.pyz"));
            command
        });
        check(&python, &[3, 3], |recording, directory| {
            let venv = directory.join("venv");
            run(Command::new(&python.path).args(["-m", "venv", "--without-pip"]).arg(&venv));
            // Like a console script of pip; it also starts the environment's Python a second time.
            let script = directory.join("script");
            let shebang = format!("#!{}\n", venv.join("bin/python").display());
            let again =
                "import subprocess, sys\nsubprocess.check_call([sys.executable, '-c', sys.argv[1]])\n";
            fs::write(&script, shebang + MARKED + again).expect("the file is written");
            fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).expect("the mode is set");
            let mut command = recording.command(&script);
            if !venv.join("bin/python").exists() {
                // The interpreter exists only in the root directory of that Python's Debian.
                command = recording.command(&python.path);
                command.args(["-c", "import os, sys; os.execv(sys.argv[1], sys.argv[1:])"]).arg(&script);
            }
            command.arg(MARKED);
            command
        });
    }
}

#[test]
fn children_of_every_kind() {
    let program = "\
import multiprocessing, os, subprocess, sys
def marked(): pass
def work(n):
    for _ in range(n): marked()
if __name__ == '__main__':
    for method in 'fork', 'spawn', 'forkserver':
        process = multiprocessing.get_context(method).Process(target=work, args=(5,))
        process.start()
        process.join()
        assert process.exitcode == 0
    command = [sys.executable, '-c', 'def marked(): pass\\nfor _ in range(7): marked()']
    subprocess.run(command, check=True)
    subprocess.run(command, check=True, preexec_fn=lambda: marked())
    subprocess.run(['sh', '-c', '\"$@\"; exit 0', 'sh', *command], check=True)
    pid = os.posix_spawn(sys.executable, command, os.environ)
    assert os.waitpid(pid, 0)[1] == 0
    pid, terminal = os.forkpty()
    if pid == 0:
        work(2)
        os._exit(0)
    os.waitpid(pid, 0)
    work(1)
    os.execv(sys.executable, command)
";
    for python in pythons(&VERSIONS) {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let script = directory.path().join("children.py");
        fs::write(&script, program).expect("the file is written");
        let recording = Recording::start(RecordingOptions::default());
        run(recording.command(&python.path).arg(script));
        let trace = recording.finish();
        let mut calls = calls_of_marked(&trace);
        calls.sort_unstable();
        // preexec_fn, forkpty and main; multiprocessing; subprocess twice, through sh, posix_spawn
        // and execv.
        assert_eq!(calls, [1, 1, 2, 5, 5, 5, 7, 7, 7, 7, 7], "{python:?}: {:?}", trace.notices());
        let main = &trace.processes[0];
        assert!(
            trace.processes.iter().any(|process| process.name == format!("{}-1", main.pid())),
            "exec keeps the pid and begins a new log: {:?}",
            trace.processes.iter().map(|process| &process.name).collect::<Vec<_>>()
        );
    }
}

#[test]
fn a_sitecustomize_of_the_user() {
    for python in pythons(&VERSIONS) {
        check(&python, &[3], |recording, directory| {
            let custom = "import sys, gc\nsys.dont_write_bytecode = True\ngc.callbacks.append(lambda *_: None)\n\
                          sys.addaudithook(lambda *_: None)\n";
            fs::write(directory.join("sitecustomize.py"), custom).expect("the file is written");
            let mut command = recording.command(&python.path);
            command.env("PYTHONPATH", directory).args(["-m", "marked"]);
            command
        });
    }
}

#[test]
fn profilers_and_tracers_of_the_program() {
    let program = "\
import cProfile, sys, threading
calls = []
def profile(frame, event, arg): calls.append(event)
def trace(frame, event, arg): calls.append(event); return trace
def marked(): pass
sys.setprofile(profile); marked(); sys.setprofile(None)
assert calls.count('call') == 1, calls
calls.clear()
sys.settrace(trace); marked(); sys.settrace(None)
assert calls.count('call') == 1 and 'line' in calls, calls
profiler = cProfile.Profile()
profiler.runcall(marked)
assert any(entry.callcount == 1 for entry in profiler.getstats())
import profile as pure
pure.Profile().runcall(marked)
if sys.version_info >= (3, 12):
    mon = sys.monitoring
    for tool in mon.DEBUGGER_ID, mon.COVERAGE_ID, mon.PROFILER_ID, 3, 4:
        mon.use_tool_id(tool, 'mine')
        mon.register_callback(tool, mon.events.PY_START, lambda *_: mon.DISABLE)
        mon.set_events(tool, mon.events.PY_START)
for _ in range(3): marked()
";
    for python in pythons(&VERSIONS) {
        // Before 3.12 a thread has one profile function: calls under the program's own are not
        // recorded.
        let expected = if python.version < (3, 12) { 4 } else { 7 };
        check(&python, &[expected], |recording, _| {
            let mut command = recording.command(&python.path);
            command.args(["-c", program]);
            command
        });
    }
}

#[test]
fn a_replaced_profile_function_is_reported() {
    for python in pythons(&[8, 9, 10, 11]) {
        for (program, expected) in [
            ("import sys; sys.setprofile(lambda *_: None)", vec!["Functions"]),
            ("import sys; sys.settrace(lambda *_: None)", vec!["Lines"]),
            ("import cProfile; cProfile.run('pass')", vec!["Functions"]),
            ("pass", vec![]),
        ] {
            let groups = support::FUNCTION | support::LINE;
            let recording = Recording::start(RecordingOptions { groups, ..RecordingOptions::default() });
            run(recording.command(&python.path).args(["-c", program]));
            let trace = recording.finish();
            let reported: Vec<&str> =
                trace.notices().iter().map(|notice| notice.split(' ').next().unwrap_or_default()).collect();
            assert_eq!(reported, expected, "{program} on {python:?}");
        }
    }
}

#[test]
fn a_program_that_uses_every_tool_id_runs_unrecorded() {
    for python in pythons(&[12, 13, 14, 15]) {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let custom = "import sys\nfor i in range(6): sys.monitoring.use_tool_id(i, 'mine')\n";
        fs::write(directory.path().join("sitecustomize.py"), custom).expect("the file is written");
        let recording = Recording::start(RecordingOptions::default());
        run(recording.command(&python.path).env("PYTHONPATH", directory.path()).args(["-c", MARKED]));
        let trace = recording.finish();
        assert_eq!(calls_of_marked(&trace), []);
        assert!(matches!(trace.notices()[..], [notice] if notice.contains("all six tool ids")), "{python:?}");
    }
}

#[test]
fn a_tool_id_is_freed_if_the_callbacks_cannot_be_registered() {
    for python in pythons(&[12, 13, 14, 15]) {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let custom = "import sys\nsys.monitoring.register_callback = None\n";
        fs::write(directory.path().join("sitecustomize.py"), custom).expect("the file is written");
        let recording = Recording::start(RecordingOptions::default());
        let program = "import sys; print([sys.monitoring.get_tool(id) for id in range(6)])";
        let output =
            run(recording.command(&python.path).env("PYTHONPATH", directory.path()).args(["-c", program]));
        assert_eq!(String::from_utf8_lossy(&output.stdout), "[None, None, None, None, None, None]\n");
        let trace = recording.finish();
        let notices = trace.notices();
        assert!(matches!(notices[..], [notice] if notice.contains("refused")), "{python:?}: {notices:?}");
    }
}

#[test]
fn threads_that_the_interpreter_ends_during_an_import() {
    // While the last object's `__del__` sleeps, the interpreter ends the thread by unwinding its
    // stack, which contains a frame of the agent.
    let program = "\
import sys, threading, time
class Slow:
    def __del__(self, sleep=time.sleep): sleep(0.3)
slow = Slow()
started = threading.Event()
def load():
    import marked
threading.Thread(target=load, daemon=True).start()
started.wait()
";
    let module = "import sys, time\nsys.modules['__main__'].started.set()\nwhile True: time.sleep(0.01)\n";
    for python in pythons(&VERSIONS) {
        let directory = tempfile::tempdir().expect("a temporary directory");
        fs::write(directory.path().join("marked.py"), module).expect("the file is written");
        let recording = Recording::start(RecordingOptions::default());
        run(recording.command(&python.path).current_dir(&directory).args(["-c", program]));
        assert_eq!(recording.finish().processes.len(), 1, "{python:?}");
    }
}

#[test]
fn programs_without_python_are_unaffected() {
    let recording = Recording::start(RecordingOptions::default());
    let mut child =
        recording.command("cat").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("cat starts");
    child.stdin.take().expect("the stream is piped").write_all(b"hello").expect("cat reads");
    assert_eq!(child.wait_with_output().expect("cat ends").stdout, b"hello");
    assert!(recording.finish().processes.is_empty());
}

#[test]
fn the_program_prints_and_returns_the_same() {
    let program = "\
import gc, importlib._bootstrap, os, sys, threading
print(sorted(sys.modules), sys.argv, getattr(sys, 'orig_argv', None), sys.flags)
print(sorted(os.listdir('/proc/self/fd')))
print(threading.active_count(), sys.getprofile(), sys.gettrace(), sys.getrecursionlimit())
def fail(): import no_such_module
try: fail()
except ImportError as error: print(repr(error), error.__traceback__.tb_next.tb_next)
print(sys.getrefcount(fail) , sys.getrefcount(fail.__code__))
import _thread, time, traceback
reported = []
sys.unraisablehook = lambda unraisable: reported.append((unraisable.object is fail, unraisable.err_msg.split(' <')[0]))
_thread.start_new_thread(fail, ())
while not reported: time.sleep(0.01)
print(reported)
try: fail()
except ImportError: traceback.print_exc()
sys.exit(7)
";
    for python in pythons(&VERSIONS) {
        let recording = Recording::start(RecordingOptions::default());
        let traced = recording.command(&python.path).args(["-c", program]).output().expect("Python starts");
        let plain = Command::new(&python.path)
            .args(["-c", program])
            .stdin(Stdio::null())
            .output()
            .expect("Python starts");
        assert_eq!(String::from_utf8_lossy(&traced.stdout), String::from_utf8_lossy(&plain.stdout));
        assert_eq!(String::from_utf8_lossy(&traced.stderr), String::from_utf8_lossy(&plain.stderr));
        assert_eq!(traced.status.code(), Some(7));
        assert!(!recording.finish().processes.is_empty());
    }
}

/// A program that creates and frees code objects. Its garbage collections happen as without the
/// agent, and its memory grows by little more than the ring. (The count of the youngest generation
/// is not compared: on 3.11 a running frame is one object more.)
#[test]
fn the_program_collects_garbage_and_uses_memory_the_same() {
    let program = "\
import gc
def made(n):
    space = {}
    exec(compile(f'def made(x): return [x]', f'<made {n}>', 'exec'), space)
    return space['made'](n)
gc.collect()
before = gc.get_stats()
kept = [made(n) for n in range(3000)]
counts = gc.get_count()[1:]
print([a['collections'] - b['collections'] for a, b in zip(gc.get_stats(), before)], counts)
print(next(line.split()[1] for line in open('/proc/self/status') if line.startswith('VmHWM')))
";
    const RING_KIB: u64 = 8 << 10;
    const MARGIN_KIB: u64 = 2 << 10;
    for python in pythons(&VERSIONS) {
        let recording = Recording::start(RecordingOptions::default());
        let [traced, plain] =
            [recording.command(&python.path), Command::new(&python.path)].map(|mut command| {
                let output = run(command.args(["-c", program]).stdin(Stdio::null())).stdout;
                let output = String::from_utf8(output).expect("the output is UTF-8");
                let (counts, peak) = output.trim().split_once('\n').expect("two lines");
                (counts.to_owned(), peak.parse::<u64>().expect("a number of KiB"))
            });
        assert_eq!(traced.0, plain.0, "{python:?}");
        assert!(traced.1 < plain.1 + RING_KIB + MARGIN_KIB, "{python:?}: {plain:?}, {traced:?}");
        recording.finish();
    }
}

#[test]
fn another_user_of_co_extra_is_called_for_its_own_values_only() {
    let program = "\
import ctypes, gc, os, sys
api, new = ctypes.pythonapi, sys.version_info >= (3, 12)
request = api['PyUnstable_Eval_RequestCodeExtraIndex' if new else '_PyEval_RequestCodeExtraIndex']
set_extra = api['PyUnstable_Code_SetExtra' if new else '_PyCode_SetExtra']
set_extra.argtypes = ctypes.py_object, ctypes.c_ssize_t, ctypes.c_void_p
freed = []
free = ctypes.CFUNCTYPE(None, ctypes.c_void_p)(freed.append)
index = request(free)
def made(n):
    space = {}
    exec(f'def made(): return {n}', space)
    return space['made']
for n in range(10): made(n)()
one = made(10)
one()
assert set_extra(one.__code__, index, 7) == 0
one()
del one
gc.collect()
os.write(1, str(freed).encode())
os._exit(0)
";
    for python in pythons(&VERSIONS) {
        let recording = Recording::start(RecordingOptions::default());
        let output = run(recording.command(&python.path).args(["-c", program]));
        assert_eq!(String::from_utf8_lossy(&output.stdout), "[7]", "{python:?}");
        let counts = recording.finish().counts("<string>".as_ref());
        let made: u64 = counts.iter().filter(|(code, _)| code.2 == "made").map(|(_, [calls, _])| calls).sum();
        assert_eq!(made, 11 + 10 + 2, "{python:?}");
    }
}
