/* SPDX-License-Identifier: BSD-2-Clause */
/* Runs command lines against the fake machine and looks at what they printed. */
#include "harness.h"

#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "verbs.h"

#define WORDS_MAX 16

struct fake *fake;
char *out, *err;
size_t out_size;
struct kernel_files files = { .kcore = "/nonexistent", .vmcoreinfo = "/nonexistent" };

void forget_output(void)
{
	free(out);
	free(err);
	out = err = NULL;
}

enum exit_code run(const char *line)
{
	char text[256], *words[WORDS_MAX + 1] = { text };
	size_t err_size;
	struct session session = { .port = &fake_port, .cpus = &fake_cpu_ops,
				   .blocks = &fake_block_ops, .files = &files, .context = fake };
	enum exit_code code;
	int count = 1;
	char *rest = NULL;

	forget_output();
	session.out = open_memstream(&out, &out_size);
	session.err = open_memstream(&err, &err_size);
	session.interrupted = &fake->interrupted;
	session.columns = fake->columns;
	session.lines = 24;
	session.colour = session.redraws = fake->terminal;
	snprintf(text, sizeof(text), "%s", line);
	for (char *word = strtok_r(text, " ", &rest); word != NULL && count < WORDS_MAX;
	     word = strtok_r(NULL, " ", &rest))
		words[count++] = word;
	code = scrimctl_run(&session, count, words);
	fclose(session.out);
	fclose(session.err);
	assert_false(fake->pinned);
	return code;
}

enum exit_code run_in_child(const char *line)
{
	int status;
	pid_t child = fork();

	assert_true(child >= 0);
	if (child == 0) {
		enum exit_code code = run(line);

		_exit((int)code);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFEXITED(status));
	return (enum exit_code)WEXITSTATUS(status);
}

void assert_one_complaint(void)
{
	assert_int_equal(strncmp(err, "scrimctl: ", 10), 0);
	assert_ptr_equal(strchr(err, '\n'), err + strlen(err) - 1);
	assert_non_null(strchr(err, ';'));
}

void assert_done(const char *line)
{
	enum exit_code code = run(line);

	assert_string_equal(err, "");
	assert_int_equal(code, EXIT_DONE);
}

void assert_refused(const char *line, const char *words)
{
	assert_int_equal(run(line), EXIT_REFUSED);
	assert_one_complaint();
	if (strstr(err, words) == NULL)
		fail_msg("\"%s\" is not in: %s", words, err);
}

void assert_usage(const char *line)
{
	assert_int_equal(run(line), EXIT_USAGE);
	assert_string_equal(out, "");
	assert_one_complaint();
	assert_int_equal(fake->requests, 0);
}

int harness_setup(void **state)
{
	(void)state;
	fake_reset(fake);
	return 0;
}

int harness_teardown(void **state)
{
	(void)state;
	forget_output();
	return 0;
}

/* The value at "a.b.c", where a number is an index. */
json_t *at(json_t *root, const char *path)
{
	char text[96], *rest = NULL;
	json_t *value = root;

	snprintf(text, sizeof(text), "%s", path);
	for (char *key = strtok_r(text, ".", &rest); key != NULL; key = strtok_r(NULL, ".", &rest))
		value = json_is_array(value) ? json_array_get(value, (size_t)atoi(key)) : json_object_get(value, key);
	if (value == NULL)
		fail_msg("no %s in the JSON", path);
	return value;
}

json_t *output_json(void)
{
	json_error_t error;
	json_t *root = json_loads(out, JSON_REJECT_DUPLICATES, &error);

	if (root == NULL)
		fail_msg("not JSON: %s", error.text);
	return root;
}

void assert_text(json_t *root, const char *path, const char *text)
{
	assert_true(json_is_string(at(root, path)));
	assert_string_equal(json_string_value(at(root, path)), text);
}

void assert_count(json_t *root, const char *path, json_int_t count)
{
	assert_true(json_is_integer(at(root, path)));
	assert_int_equal(json_integer_value(at(root, path)), count);
}

void assert_near(json_t *root, const char *path, double value)
{
	double found = json_real_value(at(root, path));

	assert_true(json_is_real(at(root, path)));
	assert_true(found > value * 0.999 && found < value * 1.001);
}

void refuse(enum scrim_op op, uint32_t status, uint64_t result0)
{
	fake->refuse = true;
	fake->refuse_op = op;
	fake->refuse_status = status;
	fake->refuse_result0 = result0;
}

void assert_all_modes(enum scrim_cpu_mode mode)
{
	for (unsigned i = 0; i < 4; i++)
		assert_int_equal(fake->cpus[i].mode, mode);
	assert_int_equal(fake->cpus[4].mode, SCRIM_CPU_WAITING);
}

void assert_printed(const char *words)
{
	if (strstr(out, words) == NULL)
		fail_msg("\"%s\" is not in: %s", words, out);
}
