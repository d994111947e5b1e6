/*
 * The floor under building a lab: sends the bytes of a plan, precomputed, as fast as one thread of C can.
 *
 * usage: floor PLAN
 *
 * PLAN is what benchmarks/tape.py records: a sequence of records, each an opcode, the number of a namespace, and the
 * length of what follows, all 32 bits in the machine's own order.
 *
 *   1  make a network namespace (they are numbered in order) and bind it at the path that follows, ended by a zero byte
 *   2  write sysctls: path and value, each ended by a zero byte, one after the other
 *   3  send: a count of places, then as many pairs (offset, namespace), then netlink messages. The descriptor of
 *      the namespace goes to each offset; the last message asks for an answer, and the answers are read
 *   4  ask for the state of links: names of 16 bytes
 *
 * Prints the nanoseconds from the first record to the last. Needs the right to make namespaces.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/ethtool.h>
#include <linux/netlink.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define NAMESPACES_PER_PROCFS 32

struct record {
	uint32_t opcode, namespace, length;
};

static int *namespaces, *sockets;
static unsigned made;

static void die(const char *what)
{
	perror(what);
	exit(1);
}

static int private_procfs(void)
{
	static int procfs = -1, visits;

	if (procfs >= 0 && ++visits % NAMESPACES_PER_PROCFS)
		return procfs;
	if (procfs >= 0)
		close(procfs);
	int context = syscall(SYS_fsopen, "proc", 1);
	if (context < 0 || syscall(SYS_fsconfig, context, 6, NULL, NULL, 0))
		die("fsopen");
	procfs = syscall(SYS_fsmount, context, 1, 0);
	if (procfs < 0)
		die("fsmount");
	close(context);
	return procfs;
}

static void make_namespace(const char *path)
{
	if (unshare(CLONE_NEWNET))
		die("unshare");
	int file = open(path, O_RDONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0444);
	if (file < 0 || mount("/proc/thread-self/ns/net", path, NULL, MS_BIND, NULL))
		die(path);
	close(file);
	namespaces[made] = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
	sockets[made] = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
	if (namespaces[made] < 0 || sockets[made] < 0)
		die("namespace");
	made++;
}

static void write_sysctls(unsigned namespace, char *at, char *end)
{
	char path[256] = "sys/";

	if (setns(namespaces[namespace], CLONE_NEWNET))
		die("setns");
	int procfs = private_procfs();
	while (at < end) {
		char *value = at + strlen(at) + 1;
		snprintf(path + 4, sizeof path - 4, "%s", at);
		int file = openat(procfs, path, O_WRONLY | O_CLOEXEC);
		if (file < 0 || write(file, value, strlen(value)) < 0)
			die(path);
		close(file);
		at = value + strlen(value) + 1;
	}
}

static void send_messages(unsigned namespace, char *at, char *end)
{
	static char answers[65536];
	uint32_t places;

	memcpy(&places, at, 4);
	char *messages = at + 4 + 8 * places;
	for (uint32_t place = 0; place < places; place++) {
		uint32_t where[2];
		memcpy(where, at + 4 + 8 * place, 8);
		memcpy(messages + where[0], &namespaces[where[1]], 4);
	}
	if (send(sockets[namespace], messages, end - messages, 0) < 0)
		die("send");
	for (;;) {
		ssize_t length = recv(sockets[namespace], answers, sizeof answers, 0);
		if (length < 0)
			die("recv");
		struct nlmsghdr *header = (struct nlmsghdr *)answers;
		for (; NLMSG_OK(header, length); header = NLMSG_NEXT(header, length)) {
			struct nlmsgerr *answer = NLMSG_DATA(header);
			if (header->nlmsg_type == NLMSG_ERROR && answer->error == 0)
				return;
		}
	}
}

static void ask_for_links(unsigned namespace, char *at, char *end)
{
	for (; at < end; at += IFNAMSIZ) {
		struct ethtool_value value = {.cmd = ETHTOOL_GLINK};
		struct ifreq request = {.ifr_data = (void *)&value};
		memcpy(request.ifr_name, at, IFNAMSIZ);
		ioctl(sockets[namespace], SIOCETHTOOL, &request);
	}
}

static uint64_t now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return time.tv_sec * 1000000000ull + time.tv_nsec;
}

int main(int count, char **arguments)
{
	struct stat status;
	struct rlimit files;

	if (count != 2)
		return fprintf(stderr, "usage: floor PLAN\n"), 2;
	int file = open(arguments[1], O_RDONLY | O_CLOEXEC);
	if (file < 0 || fstat(file, &status))
		die(arguments[1]);
	char *plan = mmap(NULL, status.st_size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_POPULATE, file, 0);
	if (plan == MAP_FAILED)
		die("mmap");
	getrlimit(RLIMIT_NOFILE, &files);
	files.rlim_cur = files.rlim_max;
	setrlimit(RLIMIT_NOFILE, &files);
	namespaces = calloc(files.rlim_max, sizeof *namespaces);
	sockets = calloc(files.rlim_max, sizeof *sockets);

	uint64_t begin = now();
	for (char *at = plan; at < plan + status.st_size;) {
		struct record record;
		memcpy(&record, at, sizeof record);
		char *content = at + sizeof record, *end = content + record.length;
		switch (record.opcode) {
		case 1: make_namespace(content); break;
		case 2: write_sysctls(record.namespace, content, end); break;
		case 3: send_messages(record.namespace, content, end); break;
		case 4: ask_for_links(record.namespace, content, end); break;
		default: return fprintf(stderr, "record %u?\n", record.opcode), 1;
		}
		at = end;
	}
	printf("%llu\n", (unsigned long long)(now() - begin));
	return 0;
}
