/* SPDX-License-Identifier: BSD-2-Clause */
/* `scrimctl status`: shows what the machine is in, and changes nothing but guards that are over. */
#include "json.h"
#include "options.h"
#include "status_data.h"
#include "status_json.h"
#include "status_prometheus.h"
#include "status_table.h"
#include "verbs.h"

static enum exit_code run_status(const struct session *session, int argc, char **argv)
{
	bool as_json = false, as_metrics = false;
	const struct option_spec specs[] = { { .name = "--json", .flag = &as_json },
					     { .name = "--prometheus", .flag = &as_metrics },
					     { .name = NULL } };
	int operands = options_parse(session, argc, argv, specs);
	struct status status = { 0 };
	enum exit_code code = EXIT_REFUSED;
	uint32_t version;

	if (operands == OPTIONS_BAD || !options_no_operands(session, "status", operands, argv))
		return EXIT_USAGE;
	if (as_json && as_metrics) {
		complain(session, "status prints JSON or metrics, not both; give one of --json and --prometheus");
		return EXIT_USAGE;
	}
	if (!request_connect(session, &version))
		return EXIT_REFUSED;
	if (status_gather(session, version, &status)) {
		code = EXIT_DONE;
		if (as_json)
			code = json_print(session, status_json(&status));
		else if (as_metrics)
			status_prometheus(session->out, &status);
		else
			status_table(session->out, &status);
	}
	status_free(&status);
	return code;
}

const struct verb verb_status = {
	.name = "status",
	.arguments = "[--json|--prometheus]",
	.summary = "Show what the machine is in",
	.help = "Shows the state, the CPUs, the pages, what Scrim costs in memory and exits, and the last operation.\n"
		"While the state is guarded, each CPU is visited once first, so that a guard that is over is taken "
		"off.\n"
		"\n"
		"  --json        for programs; addresses are strings in hexadecimal, unknown times are null\n"
		"  --prometheus  metrics in the text format of Prometheus, for node_exporter's textfile collector\n"
		"\n"
		"Example: scrimctl status --json | jq .state\n",
	.run = run_status,
};
