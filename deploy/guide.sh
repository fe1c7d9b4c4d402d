# SPDX-License-Identifier: MIT
# shellcheck shell=sh
# What the commands of docs/fargate.md share; for sh, bash and zsh. Each block of the guide is a
# subshell that begins with 'set -e' and reads this file: it ends at the first call that fails, and
# the shell that it was pasted into stays as it was.
#
# berth-guide.env  names that the user chooses, written by the guide's step 2
# berth-guide.ids  what the guide created, NAME='ID' per line; the last line of a name counts

# shellcheck disable=SC3040 # only where there is one
if (set -o pipefail) 2>/dev/null; then set -o pipefail; fi
# Blocks write their files again, and read names that have no value yet.
set +C +u
# Not EXIT: zsh skips that where 'set -e' ends a function. A command substitution stops its block, too.
if [ -n "${ZSH_VERSION:-}${BASH_VERSION:-}" ]; then
    # shellcheck disable=SC3047 # only in these shells
    trap 'if [ "${ZSH_SUBSHELL:-1}" -le 1 ]; then
        echo "stopped: fix the cause and paste this block again" >&2
    fi' ERR
fi

# made NAME: whether NAME has a value.
made() {
    eval "[ -n \"\${$1:-}\" ]"
}

# value NAME: prints it.
value() {
    eval "echo \"\${$1:-}\""
}

# keep NAME VALUE: set it here and in later blocks. The file is read as shell commands, so a value
# can only have the characters of identifiers.
keep() {
    case $2 in
    *[!A-Za-z0-9:/._@+-]*)
        echo "$1: '$2' is not an identifier" >&2
        return 1
        ;;
    esac
    printf "%s='%s'\n" "$1" "$2" >>berth-guide.ids
    eval "$1=\$2"
}

# option NAME WORD...: prints the word after NAME.
option() {
    option_name=$1
    shift
    until [ "$#" -lt 2 ] || [ "$1" = "$option_name" ]; do shift; done
    echo "${2:-}"
}

# found COMMAND...: prints the ID of what COMMAND has made before, 'done' if that has none; else fails.
found() {
    found_vpc="Name=vpc-id,Values=$(option --vpc-id "$@")"
    found_subnet=$(option --subnet-id "$@")
    case "$2 $3" in
    "iam create-role") set -- iam get-role --role-name "$(option --role-name "$@")" \
        --query Role.Arn ;;
    "iam create-instance-profile") set -- iam get-instance-profile --instance-profile-name \
        "$(option --instance-profile-name "$@")" --query InstanceProfile.Arn ;;
    "ecr create-repository") set -- ecr describe-repositories --repository-names \
        "$(option --repository-name "$@")" --query 'repositories[0].repositoryUri' ;;
    "ec2 create-security-group") set -- ec2 describe-security-groups --filters "$found_vpc" \
        "Name=group-name,Values=$(option --group-name "$@")" --query 'SecurityGroups[0].GroupId' ;;
    "ec2 create-subnet") set -- ec2 describe-subnets --filters "$found_vpc" \
        "Name=cidr-block,Values=$(option --cidr-block "$@")" --query 'Subnets[0].SubnetId' ;;
    "ec2 create-vpc-endpoint") set -- ec2 describe-vpc-endpoints --filters "$found_vpc" \
        "Name=service-name,Values=$(option --service-name "$@")" \
        --query 'VpcEndpoints[0].VpcEndpointId' ;;
    "ec2 associate-route-table") set -- ec2 describe-route-tables --route-table-ids \
        "$(option --route-table-id "$@")" --query \
        "RouteTables[0].Associations[?SubnetId=='$found_subnet'].RouteTableAssociationId" ;;
    "logs create-log-group" | "ec2 attach-internet-gateway" | "ec2 create-route" | \
        "ec2 authorize-security-group-ingress" | "iam add-role-to-instance-profile" | "aws s3")
        found_error=$("$@" 2>&1 >/dev/null) || case $found_error in
        *AlreadyExists* | *Duplicate* | *AlreadyAssociated* | *AlreadyOwnedByYou*) ;;
        *"(LimitExceeded) when calling the AddRoleToInstanceProfile"*) ;;
        *) return 1 ;;
        esac
        echo "done"
        return 0
        ;;
    *) return 1 ;;
    esac
    aws "$@" --output text || return 1
}

# once NAME COMMAND...: run COMMAND unless NAME has a value, and keep its output as NAME. BEGUN_NAME
# has a value while no answer of COMMAND is known: then what it has made is looked up. What others
# have made is never taken, since 'undo' deletes it.
once() {
    if made "$1"; then return 0; fi
    once_name=$1
    shift
    once_value=
    once_cut=
    if made "BEGUN_$once_name"; then
        once_cut=yes
        once_value=$(found "$@" 2>/dev/null) || once_value=
    fi
    if [ -z "$once_value" ] || [ "$once_value" = None ]; then
        keep "BEGUN_$once_name" yes
        once_value=$("$@") || {
            case $?$once_cut in
            1 | 25[234]) keep "BEGUN_$once_name" "" ;;
            esac
            return 1
        }
    fi
    if [ "$once_value" = None ]; then
        echo "$once_name: the call returned no value" >&2
        return 1
    fi
    keep "$once_name" "${once_value:-done}" || return 1
    keep "BEGUN_$once_name" ""
    echo "$once_name=${once_value:-done}"
}

# undo NAME COMMAND...: if NAME has a value, run COMMAND, which deletes it, and forget NAME. What no
# longer exists counts as deleted; what is still in use is tried again for five minutes.
undo() {
    if ! made "$1"; then return 0; fi
    undo_name=$1
    undo_left=30
    shift
    until undo_error=$("$@" 2>&1 >/dev/null); do
        case $undo_error in
        *NotFound* | *NoSuch* | *NotAttached*) break ;;
        *DependencyViolation* | *InUse* | *DeleteConflict* | *ContainsTasks*) ;;
        *) undo_left=1 ;;
        esac
        undo_left=$((undo_left - 1))
        if [ "$undo_left" = 0 ]; then
            printf '%s\n' "$undo_error" >&2
            return 1
        fi
        sleep 10
    done
    printf "%s=''\n" "$undo_name" >>berth-guide.ids
    echo "removed $undo_name"
}

# again COMMAND...: up to six times, for what AWS does not know yet for some seconds.
again() {
    again_left=6
    until "$@"; do
        again_left=$((again_left - 1))
        if [ "$again_left" = 0 ]; then return 1; fi
        echo "trying again in 10 s" >&2
        sleep 10
    done
}

# quiet COMMAND...: without its output.
quiet() {
    "$@" >/dev/null
}

# each LIST COMMAND...: COMMAND with each word of the list.
each() {
    each_list=$1
    shift
    printf '%s\n' "$each_list" | tr -s '[:space:]' '\n' | while read -r each_word; do
        if [ -n "$each_word" ] && [ "$each_word" != None ]; then
            "$@" "$each_word" </dev/null >/dev/null || return 1
        fi
    done
}

# deregister FAMILY: all revisions of a task definition.
deregister() {
    deregister_list=$(aws ecs list-task-definitions --family-prefix "$1" \
        --query 'taskDefinitionArns[]' --output text) || return 1
    each "$deregister_list" aws ecs deregister-task-definition --task-definition || return 1
}

# delete_cluster: with its tasks; for 'undo'.
delete_cluster() {
    cluster_tasks=$(aws ecs list-tasks --cluster "$CLUSTER" --query 'taskArns[]' --output text) ||
        return 1
    each "$cluster_tasks" aws ecs stop-task --cluster "$CLUSTER" --task || return 1
    aws ecs delete-cluster --cluster "$CLUSTER" || return 1
}

# delete_role NAME: with its policies, those that others added, too; for 'undo'.
delete_role() {
    role_policies=$(aws iam list-role-policies --role-name "$1" \
        --query 'PolicyNames[]' --output text) || return 1
    each "$role_policies" aws iam delete-role-policy --role-name "$1" --policy-name || return 1
    role_policies=$(aws iam list-attached-role-policies --role-name "$1" \
        --query 'AttachedPolicies[].PolicyArn' --output text) || return 1
    each "$role_policies" aws iam detach-role-policy --role-name "$1" --policy-arn || return 1
    aws iam delete-role --role-name "$1" || return 1
}

# delete_endpoint ID: 'delete-vpc-endpoints' succeeds even if it deletes none; for 'undo'.
delete_endpoint() {
    endpoint_error=$(aws ec2 delete-vpc-endpoints --vpc-endpoint-ids "$1" \
        --query 'Unsuccessful[].Error.[Code,Message]' --output text) || return 1
    if [ -n "$endpoint_error" ] && [ "$endpoint_error" != None ]; then
        printf '%s\n' "$endpoint_error" >&2
        return 1
    fi
}

# tags TYPE: the tag by which the console groups the resources.
tags() {
    printf 'ResourceType=%s,Tags=[{Key=Name,Value=%s}]' "$1" "$CLUSTER"
}

# berth ARGUMENT...: berth-driver, in a container where it cannot run itself, as on macOS. The
# container gets the login by the names of its variables.
berth() {
    case $(uname -sm) in
    "Linux x86_64") build/release/bin/berth-driver "$@" || return 1 ;;
    *)
        berth_login=$(aws configure export-credentials --format env) || return 1
        eval "$berth_login"
        docker run --rm --platform linux/amd64 -v "${PWD}:/src:z" -w /src -e AWS_ACCESS_KEY_ID \
            -e AWS_SECRET_ACCESS_KEY -e AWS_SESSION_TOKEN -e AWS_REGION debian:12 sh -c '
            { apt-get -qq update && apt-get -qq install -y ca-certificates busybox-static; } >&2 &&
                exec build/release/bin/berth-driver "$@"' berth "$@" || return 1
        ;;
    esac
}

if [ ! -f berth-guide.env ]; then
    echo "there is no berth-guide.env in $PWD: paste the block of step 2 first, in the clone's top directory" >&2
    return 1
fi
# shellcheck source=/dev/null
. ./berth-guide.env
: >>berth-guide.ids
# shellcheck source=/dev/null
. ./berth-guide.ids
