/* SPDX-License-Identifier: MIT */
/* What jobs with an image of their own need on ECS beside the checks of other jobs. */
#include <string.h>

#include "driver/backend/ecs/definition_base.h"
#include "driver/backend/ecs/generated.h"
#include "driver/backend/elf_file.h"
#include "driver/base/json.h"
#include "driver/base/program.h"
#include "driver/commands/doctor/checks.h"
#include "driver/commands/doctor/task_definition.h"
#include "driver/registry/ecr_name.h"
#include "driver/registry/image_choice.h"

#define BUSYBOX_CEILING_BYTES (64UL << 20)

/* As a job chooses it: 1 for an image that its registry has, 0 without an answer, -1 with 'err'. */
static int look_up(struct doctor *doctor, const char *image, const char *architecture,
                   struct error *err)
{
    const struct image_request request = {.config = doctor->config,
                                          .name = image,
                                          .architecture = architecture,
                                          .aws = doctor->client,
                                          .signals = doctor->signals};
    struct image_choice choice;
    if (image_choose(&request, &choice, err) < 0) {
        return -1;
    }
    int known = choice.known ? 1 : 0;
    image_choice_done(&choice);
    return known;
}

/* Returns what look_up() does, and reports all but 1. */
static int check_image(struct doctor *doctor, const char *key, const char *image,
                       const char *architecture, const char *remedy)
{
    struct error err = {0};
    int known = look_up(doctor, image, architecture, &err);
    if (known < 0) {
        (void)error_wrap(&err, "%s", key);
        doctor_report_error(doctor, &err, remedy);
    } else if (known == 0) {
        doctor_report(
            doctor, DOCTOR_UNKNOWN, "check its name, and that tasks can reach its registry",
            "%s: '%s' was not checked: its registry gave no answer to this machine", key, image);
    }
    return known;
}

static void check_agent_image(struct doctor *doctor, const char *architecture)
{
    const char *image = doctor->config->helper.agent_image;
    const char *other = strcmp(architecture, "amd64") == 0 ? "arm64" : "amd64";
    struct error err = {0};
    if (image == NULL) {
        doctor_report(
            doctor, DOCTOR_FAIL, program_push_hint(),
            "[Helper] AgentImage is not set: jobs with an image of their own are refused");
        return;
    }
    if (check_image(doctor, "[Helper] AgentImage", image, architecture, program_push_hint()) == 1) {
        bool both = look_up(doctor, image, other, &err) == 1;
        char remedy[128];
        (void)snprintf(remedy, sizeof(remedy),
                       "for such jobs push the agents for both processors: '%s push-agent --help'",
                       program_name());
        doctor_report(doctor, DOCTOR_OK, both ? NULL : remedy,
                      "[Helper] AgentImage: '%s' exists, for linux/%s%s%s", image, architecture,
                      both ? " and linux/" : "; jobs that ask for another platform cannot use it",
                      both ? other : "");
    }
}

/* Images that the file names beside it. */
static void check_images(struct doctor *doctor, const char *architecture)
{
    const struct config *config = doctor->config;
    bool has_helper = strcmp(config->helper.use, "never") != 0;
    char remedy[160];
    (void)snprintf(remedy, sizeof(remedy),
                   "name an image with git and gitlab-runner-helper; '%s push-agent --helper' "
                   "copies GitLab's to ECR",
                   program_name());
    const struct {
        const char *key, *image, *remedy;
    } rows[] = {
        {"[Fargate] Image", config->fargate.image, "name an image that exists for this processor"},
        {"[Helper] Image", has_helper ? config->helper.image : NULL, remedy},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        const char *image = rows[i].image;
        if (image != NULL && strchr(image, '$') == NULL &&
            check_image(doctor, rows[i].key, image, architecture, rows[i].remedy) == 1) {
            doctor_report(doctor, DOCTOR_OK, NULL, "%s: '%s' exists, for linux/%s", rows[i].key,
                          image, architecture);
        }
    }
    if (!has_helper) {
        doctor_report(doctor, DOCTOR_OK, NULL,
                      "no helper container: images need git and gitlab-runner");
    }
}

/* Only 'push-agent' on this machine would pack it. */
static void check_busybox(struct doctor *doctor, const char *architecture)
{
    struct buffer program;
    struct error err = {0};
    buffer_init(&program, BUSYBOX_CEILING_BYTES);
    int found = elf_file_busybox(doctor->config, architecture, &program, &err);
    buffer_done(&program);
    if (found < 0) {
        doctor_report_error(doctor, &err, NULL);
    } else if (found == 0 && doctor->config->helper.busybox != NULL &&
               strcmp(doctor->config->helper.busybox, "none") != 0) {
        char remedy[96];
        (void)snprintf(remedy, sizeof(remedy),
                       "install the package busybox-static before '%s push-agent'", program_name());
        doctor_report(doctor, DOCTOR_UNKNOWN, remedy,
                      "whether jobs in images without a shell can run depends on where AgentImage "
                      "was pushed: this machine has no static busybox");
    }
}

/* The execution role is another principal, whose rights this machine cannot try. */
static void check_rights(struct doctor *doctor)
{
    const struct config_fargate *fargate = &doctor->config->fargate;
    const struct config_list *rewrite = &fargate->image_rewrite;
    bool to_ecr = false;
    for (size_t i = 0; i < rewrite->count; i++) {
        to_ecr = to_ecr || strstr(rewrite->entries[i], ".dkr.ecr.") != NULL;
    }
    if (fargate->registry_secrets.count > 0) {
        doctor_report(doctor, DOCTOR_UNKNOWN,
                      "check the ARNs by 'aws secretsmanager describe-secret', and allow that role "
                      "secretsmanager:GetSecretValue",
                      "[Fargate] RegistrySecrets: whether the secrets exist and the execution role "
                      "can read them was not checked");
    }
    if (to_ecr) {
        doctor_report(
            doctor, DOCTOR_UNKNOWN,
            "if it is a pull-through cache, allow that role ecr:BatchImportUpstreamImage "
            "and ecr:CreateRepository",
            "[Fargate] ImageRewrite: whether the execution role can fill the repositories "
            "in ECR was not checked");
    }
}

/* A job needs three containers; the rest of ten is for sidecars and services. */
static void check_room(struct doctor *doctor)
{
    const struct config_fargate *fargate = &doctor->config->fargate;
    const cJSON *base = doctor->definition;
    int sidecars = base == NULL ? 0 : (int)ecs_definition_sidecars(base, fargate->container_name);
    int room = ECS_SERVICE_CEILING - sidecars;
    if (room < 0) {
        doctor_report(doctor, DOCTOR_FAIL, "remove some, or set another [Fargate] TaskDefinition",
                      "it has %d containers beside '%s': with three of each job they are more than "
                      "the %d of a task",
                      sidecars, fargate->container_name, ECS_CONTAINER_CEILING);
    } else if (fargate->allowed_services.count > 0) {
        doctor_report(doctor, room == 0 ? DOCTOR_WARN : DOCTOR_OK,
                      room == 0 ? "remove some, or set another [Fargate] TaskDefinition" : NULL,
                      "a job can have %d service%s beside %d other container%s of the task "
                      "definition",
                      room, room == 1 ? "" : "s", sidecars, sidecars == 1 ? "" : "s");
    }
}

/* What ecs_capacity_check() cannot know without a call. */
static void check_privileges(struct doctor *doctor)
{
    const struct config_fargate *fargate = &doctor->config->fargate;
    struct error err = {0};
    const char *key = fargate->privileged_images.count > 0     ? "[Fargate] PrivilegedImages"
                      : fargate->privileged_services.count > 0 ? "[Fargate] PrivilegedServices"
                                                               : NULL;
    if (key == NULL || !doctor->knows_capacity || doctor->capacity == ECS_CAPACITY_FARGATE) {
        return;
    }
    if (doctor->capacity != ECS_CAPACITY_MANAGED) {
        (void)ecs_capacity_not_privileged(key, ecs_capacity_text(doctor->capacity), &err);
        doctor_report_error(doctor, &err, NULL);
    } else {
        doctor_report(
            doctor, DOCTOR_WARN, "give such jobs a runner and a capacity provider of their own",
            "%s: privileged jobs can control their instance and every other task on it", key);
    }
}

static void check_file(struct doctor *doctor)
{
    const struct config_fargate *fargate = &doctor->config->fargate;
    const char *image = doctor->config->helper.agent_image;
    struct ecr_name name;
    if (fargate->size.cpu_units == 0 || fargate->size.memory_mib == 0) {
        doctor_report(doctor, DOCTOR_FAIL, "set [Fargate] Cpu and Memory, or TaskDefinition",
                      "the size of tasks is not known");
    }
    if (fargate->execution_role == NULL) {
        bool needed =
            fargate->log_group != NULL || (image != NULL && ecr_name_parse(image, &name) == 0);
        doctor_report(doctor, needed ? DOCTOR_FAIL : DOCTOR_WARN,
                      "set [Fargate] ExecutionRole to a role with AmazonECSTaskExecutionRolePolicy",
                      "there is no execution role: ECS cannot pull from ECR or write logs");
    }
    if (fargate->log_group == NULL) {
        doctor_report(doctor, DOCTOR_WARN, "set [Fargate] LogGroup",
                      "tasks have no log: a container that does not start leaves no message");
    }
}

/* As a job would fail in prepare. */
static void check_base_fits(struct doctor *doctor)
{
    const struct config *config = doctor->config;
    const struct ecs_service service = {.privileged =
                                            config->fargate.privileged_services.count > 0};
    const struct ecs_plan plan = {.config = config,
                                  .region = "",
                                  .base = doctor->definition,
                                  .services = &service,
                                  .service_count = 1};
    struct error err = {0};
    cJSON *base = ecs_definition_base(&plan, &err);
    if (base == NULL) {
        doctor_report_error(doctor, &err,
                            err.hint[0] != '\0' ? NULL : "register it without, for such jobs");
    }
    cJSON_Delete(base);
}

static void check_base(struct doctor *doctor)
{
    const char *mode = json_text_at(doctor->definition, "pidMode");
    const cJSON *container =
        task_definition_container(doctor->definition, doctor->config->fargate.container_name);
    if (container != NULL) {
        check_base_fits(doctor);
    }
    if (mode != NULL && strcmp(mode, "task") == 0) {
        doctor_report(doctor, DOCTOR_WARN, "register it without pidMode",
                      "its pidMode is 'task': jobs see, and as root can signal and read, the "
                      "processes of the helper and of services");
    }
    if (json_true_at(container, "readonlyRootFilesystem")) {
        doctor_report(doctor, DOCTOR_WARN, "register it without readonlyRootFilesystem",
                      "the job's container has a read-only root file system: most images need to "
                      "write, and the names of services may be missing there");
    }
}

void doctor_check_generated(struct doctor *doctor)
{
    if (!ecs_generates(doctor->config)) {
        return;
    }
    doctor_print_heading(doctor, "Jobs with an image of their own");
    const char *processor = ecs_definition_processor(doctor->definition);
    const char *architecture = strcmp(processor, "ARM64") == 0 ? "arm64" : "amd64";
    check_agent_image(doctor, architecture);
    check_images(doctor, architecture);
    check_busybox(doctor, architecture);
    check_rights(doctor);
    if (doctor->config->fargate.task_definition == NULL) {
        check_file(doctor);
    } else {
        check_base(doctor);
    }
    check_room(doctor);
    check_privileges(doctor);
    doctor_report(doctor, DOCTOR_OK,
                  "for 'cache:' set [runners.cache] with Type = \"s3\" in GitLab Runner's "
                  "config.toml",
                  ECS_CACHE_DIRECTORY " is empty in each task");
}
