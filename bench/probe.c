// The floor of any tracer inside CPython: a C callback that stores 16 bytes per event, the time and an address, into a
// buffer that nobody reads. From 3.12 on it is a callable under sys.monitoring, before that a profile function.

#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <frameobject.h>
#include <stdint.h>
#include <time.h>
#if defined(__x86_64__)
#include <x86intrin.h>
#endif

enum { SLOTS = 1 << 19, TOOL = 3 };

static struct { uint64_t ticks, address; } records[SLOTS];
static uint64_t head;

static inline uint64_t now(void)
{
#if defined(__x86_64__)
    return __rdtsc();
#else
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
#endif
}

static inline void store(void *address)
{
    uint64_t slot = head++ % SLOTS;
    records[slot].ticks = now();
    records[slot].address = (uintptr_t)address;
}

#if PY_VERSION_HEX >= 0x030c0000

static PyObject *on_event(PyObject *self, PyObject *const *arguments, Py_ssize_t count)
{
    store(arguments[0]);
    Py_RETURN_NONE;
}

// start(): entries and returns. start(True): lines too.
static PyObject *start(PyObject *self, PyObject *arguments)
{
    static const char *const names[] = {"PY_START",  "PY_RESUME", "PY_THROW",  "PY_RETURN",
                                        "PY_YIELD",  "PY_UNWIND", "LINE"};
    int lines = 0;
    if (!PyArg_ParseTuple(arguments, "|p", &lines))
        return NULL;
    PyObject *monitoring = PySys_GetObject("monitoring");
    PyObject *events = PyObject_GetAttrString(monitoring, "events");
    PyObject *callback = PyObject_GetAttrString(self, "on_event");
    PyObject *done = PyObject_CallMethod(monitoring, "use_tool_id", "is", TOOL, "probe");
    long set = 0;
    for (size_t i = 0; i < 6 + (size_t)lines && done; i++) {
        PyObject *number = PyObject_GetAttrString(events, names[i]);
        set |= PyLong_AsLong(number);
        done = PyObject_CallMethod(monitoring, "register_callback", "iOO", TOOL, number, callback);
    }
    return done ? PyObject_CallMethod(monitoring, "set_events", "il", TOOL, set) : NULL;
}

#else

static int on_event(PyObject *self, PyFrameObject *frame, int what, PyObject *argument)
{
    if (what == PyTrace_CALL || what == PyTrace_RETURN || what == PyTrace_LINE)
        store(frame);
    return 0;
}

static PyObject *start(PyObject *self, PyObject *arguments)
{
    int lines = 0;
    if (!PyArg_ParseTuple(arguments, "|p", &lines))
        return NULL;
    PyEval_SetProfile(on_event, NULL);
    if (lines)
        PyEval_SetTrace(on_event, NULL);
    Py_RETURN_NONE;
}

#endif

static PyObject *events(PyObject *self, PyObject *ignored)
{
    return PyLong_FromUnsignedLongLong(head);
}

static PyMethodDef methods[] = {
#if PY_VERSION_HEX >= 0x030c0000
    {"on_event", (PyCFunction)(void (*)(void))on_event, METH_FASTCALL, NULL},
#endif
    {"start", start, METH_VARARGS, NULL},
    {"events", events, METH_NOARGS, NULL},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef module = {PyModuleDef_HEAD_INIT, "probe", NULL, -1, methods, NULL, NULL, NULL, NULL};

PyMODINIT_FUNC PyInit_probe(void)
{
    return PyModule_Create(&module);
}
