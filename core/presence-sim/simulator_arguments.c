/* Arguments of presence-sim. */
#include "presence.h"
#include "simulator.h"
#include <errno.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#ifdef PRESENCE_MUTANTS
#include "mutant.h"
#endif

static const char help[] =
    "usage: presence-sim [OPTION]...\n"
    "Runs random histories of a cluster in virtual time: local calls and faults, then healing. Every invariant of the\n"
    "protocol is checked after every event. Stops at the first that is broken, and says how to replay it.\n"
    "  --runs N         so many histories\n"
    "  --seconds S      histories until S seconds are over (10, if there is neither --runs nor --seed)\n"
    "  --seed N         seed of the first history, the next has N + 1 (drawn; alone: one history)\n"
    "  --members N      names in every history, 2 to 7 (drawn from 2 to 4)\n"
    "  --events N       local calls and faults in every history (drawn from 40 to 299)\n"
    "  --jobs N         processes that share the histories (1)\n"
    "  --broker         over a broker that loses, doubles, delays and reorders messages, instead of links\n"
    "  --trace          print every frame, fault, call and diff\n"
    "  --mutant NAME    with one rule of the protocol switched off (test builds only)\n"
    "  --help  --version\n"
    "exit: 0 every invariant held, 1 one was broken, 2 usage\n";

enum {
    OPTION_RUNS = 1,
    OPTION_SECONDS,
    OPTION_SEED,
    OPTION_MEMBERS,
    OPTION_EVENTS,
    OPTION_BROKER,
    OPTION_TRACE,
    OPTION_MUTANT,
    OPTION_JOBS
};
enum { OPTION_HELP = 100, OPTION_VERSION };

static const struct option options[] = {
    {"runs", required_argument, NULL, OPTION_RUNS},     {"seconds", required_argument, NULL, OPTION_SECONDS},
    {"seed", required_argument, NULL, OPTION_SEED},     {"members", required_argument, NULL, OPTION_MEMBERS},
    {"events", required_argument, NULL, OPTION_EVENTS}, {"broker", no_argument, NULL, OPTION_BROKER},
    {"jobs", required_argument, NULL, OPTION_JOBS},     {"trace", no_argument, NULL, OPTION_TRACE},
    {"mutant", required_argument, NULL, OPTION_MUTANT}, {"help", no_argument, NULL, OPTION_HELP},
    {"version", no_argument, NULL, OPTION_VERSION},     {NULL, 0, NULL, 0}};

static int number(const char *option, uint64_t least, uint64_t most, uint64_t *out) {
    char *end;
    errno = 0;
    uint64_t value = strtoull(optarg, &end, 10);
    if (optarg[0] >= '0' && optarg[0] <= '9' && *end == 0 && errno == 0 && value >= least && value <= most) {
        *out = value;
        return SIMULATOR_HELD;
    }
    fprintf(stderr, "presence-sim: --%s must be %llu to %llu, not \"%s\"\n", option, (unsigned long long)least,
            (unsigned long long)most, optarg);
    return SIMULATOR_USAGE;
}

static int take_seconds(simulator_arguments *arguments) {
    char *end;
    double seconds = strtod(optarg, &end);
    if (end != optarg && *end == 0 && seconds > 0 && seconds <= 1e7) {
        arguments->seconds = seconds;
        return SIMULATOR_HELD;
    }
    fprintf(stderr, "presence-sim: --seconds must be more than 0 and at most 10000000, not \"%s\"\n", optarg);
    return SIMULATOR_USAGE;
}

#ifdef PRESENCE_MUTANTS
static int take_mutant(simulator_arguments *arguments) {
    if (pr_mutant_select(optarg) == 0) {
        arguments->mutant = optarg;
        return SIMULATOR_HELD;
    }
    fprintf(stderr, "presence-sim: no mutant \"%s\"; there are:", optarg);
    for (size_t i = 0; pr_mutant_name(i) != NULL; i++) fprintf(stderr, " %s", pr_mutant_name(i));
    fputc('\n', stderr);
    return SIMULATOR_USAGE;
}
#else
static int take_mutant(simulator_arguments *arguments) {
    (void)arguments;
    fprintf(stderr, "presence-sim: --mutant %s: this build has no mutants (cmake -DPRESENCE_MUTANTS=ON)\n", optarg);
    return SIMULATOR_USAGE;
}
#endif

static int take(simulator_arguments *arguments, int option) {
    uint64_t members = 0;
    int code = SIMULATOR_HELD;
    switch (option) {
    case OPTION_RUNS: return number("runs", 1, UINT64_MAX, &arguments->runs);
    case OPTION_SECONDS: return take_seconds(arguments);
    case OPTION_SEED: return number("seed", 0, UINT64_MAX, &arguments->plan.seed);
    case OPTION_MEMBERS:
        code = number("members", 2, PR_SIM_HOSTS - 1, &members);
        arguments->plan.members = (int)members;
        return code;
    case OPTION_EVENTS: arguments->plan.exact = true; return number("events", 0, 1000000, &arguments->plan.events);
    case OPTION_JOBS: return number("jobs", 1, SIMULATOR_JOBS_MAX, &arguments->jobs);
    case OPTION_BROKER: arguments->plan.broker = true; return SIMULATOR_HELD;
    case OPTION_TRACE: arguments->plan.trace = stdout; return SIMULATOR_HELD;
    case OPTION_MUTANT: return take_mutant(arguments);
    case OPTION_HELP: fputs(help, stdout); break;
    case OPTION_VERSION: printf("presence-sim %s\n", presence_version()); break;
    default: fputs("presence-sim --help tells what there is\n", stderr); return SIMULATOR_USAGE;
    }
    arguments->done = true;
    return code;
}

static int draw_seed(simulator_arguments *arguments) {
    uint32_t seed;
    if (getrandom(&seed, sizeof seed, 0) != (ssize_t)sizeof seed) {
        perror("presence-sim: getrandom");
        return SIMULATOR_USAGE;
    }
    arguments->plan.seed = seed;
    return SIMULATOR_HELD;
}

int simulator_arguments_parse(simulator_arguments *arguments, int argc, char **argv) {
    memset(arguments, 0, sizeof *arguments);
    arguments->program = argv[0];
    arguments->jobs = 1;
    bool seeded = false;
    for (int option; (option = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        int code = take(arguments, option);
        if (code != SIMULATOR_HELD || arguments->done) return code;
        seeded |= option == OPTION_SEED;
    }
    if (optind < argc) {
        fprintf(stderr, "presence-sim: \"%s\" is no option; presence-sim --help tells what there is\n", argv[optind]);
        return SIMULATOR_USAGE;
    }
    if (arguments->runs == 0 && arguments->seconds == 0) {
        if (seeded)
            arguments->runs = 1;
        else
            arguments->seconds = 10;
    }
    return seeded ? SIMULATOR_HELD : draw_seed(arguments);
}
