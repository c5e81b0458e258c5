"""The profile of a folder of recordings by Spark: spark.py FOLDER OUT KILL

A standalone master with two workers on this machine. With KILL = 1, one of the workers is killed with all that it runs
when a quarter of the recordings are done. Prints what happened as JSON.
"""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time

import pyspark
from pyrec import spark as pyrec_spark
from pyspark.sql import SparkSession

HOME = os.path.dirname(pyspark.__file__)
os.environ["PYSPARK_PYTHON"] = sys.executable
EXECUTOR = {name: os.environ[name] for name in ["PATH", "PYTHONPATH"]}


def daemon(role, *arguments):
    """A master or a worker, in a process group of its own with its executors."""
    command = [os.path.join(HOME, "bin/spark-class"), "org.apache.spark.deploy." + role, "--host", "127.0.0.1"]
    # A worker's own port is free to be chosen, and so is that of its page.
    command += ["--webui-port", "0", *arguments]
    environment = dict(os.environ, SPARK_HOME=HOME)
    return subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL, start_new_session=True)


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def session(master, work):
    builder = SparkSession.builder.master(master).config("spark.ui.enabled", "false")
    builder = builder.config("spark.driver.host", "127.0.0.1").config("spark.executor.memory", "512m")
    builder = builder.config("spark.sql.shuffle.partitions", "4").config("spark.local.dir", work)
    for name, value in EXECUTOR.items():
        builder = builder.config("spark.executorEnv." + name, value)
    return builder.getOrCreate()


def kill_when_a_quarter_is_done(spark, worker, recordings, killed):
    tracker = spark.sparkContext.statusTracker()
    while not killed:
        for stage in tracker.getActiveStageIds():
            info = tracker.getStageInfo(stage)
            if info and info.numTasks == recordings and info.numCompletedTasks >= recordings // 4:
                os.killpg(worker.pid, signal.SIGKILL)
                killed.append(info.numCompletedTasks)
                return
        time.sleep(0.05)


def main(folder, out, kill):
    recordings = len(os.listdir(folder))
    master = f"spark://127.0.0.1:{free_port()}"
    daemons = [daemon("master.Master", "--port", master.rsplit(":", 1)[1])]
    killed = []
    try:
        workers = [daemon("worker.Worker", "-c", "1", "-m", "1g", "-d", out + ".work", master) for _ in range(2)]
        daemons += workers
        spark = session(master, out + ".work")
        if kill:
            arguments = (spark, workers[0], recordings, killed)
            threading.Thread(target=kill_when_a_quarter_is_done, args=arguments, daemon=True).start()
        begin = time.monotonic()
        pyrec_spark.write(pyrec_spark.profile(spark, "file://" + folder + "/*.parquet"), out)
        seconds = time.monotonic() - begin
        spark.stop()
    finally:
        for process in daemons:
            try:
                os.killpg(process.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
    print(json.dumps({"recordings": recordings, "seconds": seconds, "killed_after": killed}))


main(sys.argv[1], sys.argv[2], sys.argv[3] == "1")
