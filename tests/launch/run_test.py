#!/usr/bin/env python3
"""launch/run.sh on machines and jobs that are made up: ranks, threads, binding and networks that it chooses.  run_test.py ROOT"""
import os
import subprocess
import sys
import tempfile


def write(path, text, mode=0o644):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w") as file:
        file.write(text)
    os.chmod(path, mode)


class Machine:
    """Two NUMA domains of four cores with two threads each: 0-3,8-11 and 4-7,12-15."""

    def __init__(self, script, folder):
        self.script, self.root, self.bin = script, os.path.join(folder, "root"), os.path.join(folder, "bin")
        self.allow("0-15")
        for cpu in range(16):
            self.put(f"sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list", f"{cpu % 8},{cpu % 8 + 8}\n")
        self.put("sys/devices/system/node/node0/cpulist", "0-3,8-11\n")
        self.put("sys/devices/system/node/node1/cpulist", "4-7,12-15\n")
        self.put("sys/devices/system/node/node2/cpulist", "\n")  # memory alone
        for name in ("program", "mpirun"):
            self.tool(name, "")
        self.tool("taskset", 'echo "taskset $*"')

    def put(self, path, text):
        write(os.path.join(self.root, path), text)

    def allow(self, cpus):
        self.put("proc/self/status", f"Name:\tbash\nCpus_allowed_list:\t{cpus}\n")

    def tool(self, name, text):
        write(os.path.join(self.bin, name), f"#!/bin/bash\n{text}\n", 0o755)

    def gpus(self, domains):
        lines = []
        for index, domain in enumerate(domains):
            lines.append(f"{index}, GPU-a{index}b, 00000000:{index + 0x1a:02X}:00.0")
            self.put(f"sys/bus/pci/devices/0000:{index + 0x1a:02x}:00.0/numa_node", f"{domain}\n")
        self.tool("nvidia-smi", "echo '" + "\n".join(lines) + "'")

    def port(self, device, state, rate):
        self.put(f"sys/class/infiniband/{device}/ports/1/state", f"{state}\n")
        self.put(f"sys/class/infiniband/{device}/ports/1/rate", f"{rate} Gb/sec (4X NDR)\n")

    def run(self, *arguments, code=0, path=None, **environment):
        clean = {name: value for name, value in os.environ.items()
                 if not name.startswith(("SLURM_", "OMP_", "OMPI_", "NCCL_", "CUDA_", "PMIX_"))}
        done = subprocess.run(["/bin/bash", self.script, *arguments], capture_output=True, text=True, timeout=60,
                              env={**clean, "PATH": path or self.bin + ":/usr/bin:/bin", "THINKREC_TOPOLOGY_ROOT": self.root, **environment})
        assert done.returncode == code, (arguments, done.returncode, done.stdout, done.stderr)
        return (done.stdout + done.stderr).replace("\n", " \n")

    def plan(self, *arguments, **environment):
        return self.run("--print", *arguments, "program", "--set", "a b", **environment)


def expect(text, *words, without=()):
    for word in words:
        assert word in text, (word, text)
    for word in without:
        assert word not in text, (word, text)


def check_one_machine(machine):
    text = machine.plan()
    expect(text, "2 ranks on this machine, with 8 cores in 2 NUMA domains, no GPU; 4 threads each", "not bound", "OMP_NUM_THREADS=4",
           "OMPI_MCA_btl=self,vader ", "mpirun -np 2 --oversubscribe --bind-to none program --set a\\ b", without=("NCCL",))
    expect(machine.plan("--bind", "cores"), "hardware threads 0: 0,8,1,9,2,10,3,11; 1: 4,12,5,13,6,14,7,15", "run.sh --this-rank program")
    expect(machine.plan("--bind", "cores", "--ranks", "3"), "0: 0,8,1,9; 1: 2,10,3,11,4,12; 2: 5,13,6,14,7,15", "2 threads each")
    expect(machine.plan("--bind", "cores", "--ranks", "9"), "9 ranks", "not bound", "1 threads each")
    expect(machine.plan(OMP_NUM_THREADS="3", OMPI_MCA_btl="self,tcp"), "OMP_NUM_THREADS=3", "OMPI_MCA_btl=self,tcp ", "3 threads each")
    machine.allow("2,6,10-11")  # a core with both threads, and one thread each of two
    expect(machine.plan("--bind", "cores"), "3 cores in 2 NUMA", "0: 2,10; 1: 11,6", "1 threads each")
    machine.allow("0-31")  # sixteen more could be plugged in
    machine.put("sys/devices/system/cpu/online", "0-13,15\n")
    expect(machine.plan("--bind", "cores"), "8 cores in 2 NUMA", "0: 0,8,1,9,2,10,3,11; 1: 4,12,5,13,6,7,15", "4 threads each")
    os.remove(os.path.join(machine.root, "sys/devices/system/cpu/online"))
    machine.allow("0-15")
    machine.put("sys/fs/cgroup/cpu.max", "250000 100000\n")  # a container of 2.5 cores
    expect(machine.plan(), "1 threads each", "not bound")
    expect(machine.plan("--ranks", "1"), "3 threads each")
    machine.put("sys/fs/cgroup/cpu.max", "max 100000\n")
    expect(machine.plan(), "4 threads each")


def check_gpus(machine):
    machine.gpus([1, 1, 0, 0])
    expect(machine.plan(), "4 ranks", "4 GPUs; 2 threads each", "0: 4,12,5,13; 1: 6,14,7,15; 2: 0,8,1,9; 3: 2,10,3,11",
           "CUDA_DEVICE_ORDER=PCI_BUS_ID", "NCCL_DEBUG=WARN")
    expect(machine.plan("--bind", "none"), "not bound", "2 threads each", without=("--this-rank",))
    expect(machine.plan(CUDA_VISIBLE_DEVICES="2,3"), "2 ranks", "2 GPUs; 2 threads each", "0: 0,8,1,9; 1: 2,10,3,11")
    expect(machine.plan(CUDA_VISIBLE_DEVICES="GPU-a1,3"), "2 ranks", "0: 4,12,5,13,6,14,7,15; 1: 0,8,1,9,2,10,3,11")
    expect(machine.plan(CUDA_VISIBLE_DEVICES=""), "2 ranks", "no GPU;")
    text = machine.run("--this-rank", "program", "x", OMPI_COMM_WORLD_LOCAL_RANK="2", OMPI_COMM_WORLD_LOCAL_SIZE="4")
    assert text == "taskset -c 0,8,1,9 program x \n", text
    machine.gpus([-1, -1])  # a machine that does not say where its GPUs are
    expect(machine.plan(), "0: 0,8,1,9,2,10,3,11; 1: 4,12,5,13,6,14,7,15")
    machine.tool("nvidia-smi", "echo 'Driver/library version mismatch'; exit 18")
    expect(machine.plan(), "no GPU (nvidia-smi: Driver/library version mismatch)", "2 ranks")
    os.remove(os.path.join(machine.bin, "nvidia-smi"))


def check_jobs(machine):
    one = {"SLURM_JOB_ID": "7", "SLURM_JOB_NUM_NODES": "1", "SLURM_NTASKS": "4", "SLURM_CPUS_PER_TASK": "2"}
    expect(machine.plan(SLURM_CPUS_ON_NODE="16", **one), "4 ranks on 1 nodes of job 7, each with 8 cores", "2 threads each", "--this-rank",
           "OMPI_MCA_btl=self,vader ")
    expect(machine.plan(SLURM_CPUS_ON_NODE="8", **one), "not bound", "2 threads each")  # others have the other half
    expect(machine.plan(SLURM_CPUS_ON_NODE="4", **dict(one, SLURM_CPUS_PER_TASK="1")), "not bound", "1 threads each")

    machine.gpus([0, 1])
    machine.put("proc/net/route", "Iface\tDestination\tGateway\nib0\t0000FEA9\t0\neno2\t00000000\t0101A8C0\n")
    two = {"SLURM_JOB_ID": "8", "SLURM_JOB_NUM_NODES": "2", "SLURM_NTASKS": "4", "SLURM_CPUS_ON_NODE": "16"}
    text = machine.plan(**two)
    expect(text, "4 ranks on 2 nodes of job 8", "0: 0,8,1,9,2,10,3,11; 1: 4,12", "--map-by ppr:2:node", "-x OMP_NUM_THREADS", "-x NCCL_SOCKET_IFNAME",
           "OMPI_MCA_pml=ob1", "OMPI_MCA_btl=self,vader,tcp", "OMPI_MCA_btl_tcp_if_include=eno2", "OMPI_MCA_oob_tcp_if_include=eno2",
           "NCCL_SOCKET_IFNAME==eno2", without=("-x OMPI", "NCCL_IB"))
    expect(machine.plan(**{name: value for name, value in two.items() if name != "SLURM_NTASKS"}), "4 ranks")  # two GPUs a node
    machine.port("mlx5_0", "4: ACTIVE", "400")
    machine.port("mlx5_1", "4: ACTIVE", "400")
    machine.port("mlx5_2", "4: ACTIVE", "2.5")
    machine.port("mlx5_3", "1: DOWN", "400")
    expect(machine.plan(**two), "NCCL_IB_HCA==mlx5_0:1,mlx5_1:1 ", "-x NCCL_IB_HCA", "NCCL_SOCKET_IFNAME==eno2", without=("OMPI_MCA_pml", "OMPI_MCA_btl=", "btl_tcp"))
    expect(machine.plan(NCCL_IB_HCA="mlx5_9", **two), "NCCL_IB_HCA=mlx5_9 ")
    expect(machine.run("--print", "program", code=64, **dict(two, SLURM_NTASKS="3")), "3 ranks do not spread evenly over 2 nodes")


def check_refusals(machine):
    for arguments, words in ((["--ranks", "0", "program"], "--ranks 0: it is a number from 1"), (["--ranks"], "--ranks needs a value"),
                             (["--bind", "core", "program"], "there are auto, cores and none"), (["--rank", "2"], "unknown option '--rank'"),
                             (["--print"], "no program was named")):
        expect(machine.run(*arguments, code=64), words)
    expect(machine.run("nothing", code=66), "there is no program nothing")
    os.remove(os.path.join(machine.bin, "mpirun"))
    for name in ("sed", "seq", "tr", "cat", "sort", "cut", "bash", "dirname"):
        os.symlink(f"/usr/bin/{name}" if os.path.exists(f"/usr/bin/{name}") else f"/bin/{name}", os.path.join(machine.bin, name))
    expect(machine.run("program", code=66, path=machine.bin), "mpirun is not here")


def main():
    script = os.path.join(os.path.abspath(sys.argv[1]), "launch", "run.sh")
    with tempfile.TemporaryDirectory() as folder:
        machine = Machine(script, folder)
        for check in (check_one_machine, check_gpus, check_jobs, check_refusals):
            check(machine)
    print("run.sh: all as it should be")


if __name__ == "__main__":
    main()
