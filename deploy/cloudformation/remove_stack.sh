#!/bin/sh
# SPDX-License-Identifier: MIT
# remove_stack.sh STACK: deletes a stack of berth.yaml with what CloudFormation leaves or stumbles over: the runner's
# registration, tasks, objects of the bucket, policies that were added to the roles of jobs. After a failure, run it
# again. The region is that of the AWS CLI.
set -eu
if [ $# -ne 1 ]; then
    echo "usage: $0 STACK" >&2
    exit 2
fi
stack=$1

# output NAME: of the stack. A stack whose creation failed has none.
output() {
    aws cloudformation describe-stacks --stack-name "$stack" --output text \
        --query "Stacks[].Outputs[] | [?OutputKey=='$1'].OutputValue"
}

# The runner host: no more jobs, no tasks without one. A host that is gone has nothing to stop.
stop_host() {
    command=$(aws ssm send-command --document-name AWS-RunShellScript --instance-ids "$1" \
        --parameters 'commands=["systemctl stop gitlab-runner berth-gc.timer berth-warm.timer","gitlab-runner unregister --all-runners","berth-driver warm --drain","berth-driver gc --stop"]' \
        --query Command.CommandId --output text) || return 1
    # Each waits for 100 s.
    aws ssm wait command-executed --command-id "$command" --instance-id "$1" ||
        aws ssm wait command-executed --command-id "$command" --instance-id "$1" || {
        aws ssm get-command-invocation --command-id "$command" --instance-id "$1" \
            --query '[Status,StandardErrorContent]' --output text >&2
        return 1
    }
}

# A cluster with tasks cannot be deleted.
stop_tasks() {
    tasks=$(aws ecs list-tasks --cluster "$1" --query 'taskArns[]' --output text) || return 1
    for task in $tasks; do
        [ "$task" = None ] || aws ecs stop-task --cluster "$1" --task "$task" >/dev/null || return 1
    done
    for task in $tasks; do
        [ "$task" = None ] || aws ecs wait tasks-stopped --cluster "$1" --tasks "$task" || return 1
    done
}

# Nor a role with policies that are not the stack's.
strip_role() {
    policies=$(aws iam list-role-policies --role-name "$1" --query 'PolicyNames[]' --output text) || return 1
    for policy in $policies; do
        case $policy in
        None | execution) ;; # the stack's own
        *) aws iam delete-role-policy --role-name "$1" --policy-name "$policy" || return 1 ;;
        esac
    done
    policies=$(aws iam list-attached-role-policies --role-name "$1" \
        --query 'AttachedPolicies[].PolicyArn' --output text) || return 1
    for policy in $policies; do
        [ "$policy" = None ] || aws iam detach-role-policy --role-name "$1" --policy-arn "$policy" || return 1
    done
}

# part TEXT COMMAND OUTPUT: COMMAND with the stack's output, if it has that. A failure is no reason to keep the rest.
part() {
    value=$(output "$3")
    [ -n "$value" ] || return 0
    echo "$1: $value"
    "$2" "$value" || echo "$1: failed, going on" >&2
}

empty_bucket() {
    aws s3 rm --only-show-errors --recursive "s3://$1"
}

if ! status=$(aws cloudformation describe-stacks --stack-name "$stack" --query 'Stacks[0].StackStatus' \
    --output text 2>&1); then
    printf '%s\n' "$status" >&2
    case $status in
    *"does not exist"*) exit 0 ;;
    esac
    exit 1
fi
part 'stop the runner on' stop_host RunnerHost
part 'stop the tasks of' stop_tasks Cluster
part 'empty the bucket' empty_bucket CacheBucket
part 'detach what was added to' strip_role TaskRole
part 'detach what was added to' strip_role ExecutionRole
echo "delete the stack: $stack"
aws cloudformation delete-stack --stack-name "$stack"
if ! aws cloudformation wait stack-delete-complete --stack-name "$stack"; then
    aws cloudformation describe-stack-events --stack-name "$stack" --output text \
        --query "StackEvents[?ResourceStatus=='DELETE_FAILED'].[LogicalResourceId,ResourceStatusReason]" >&2
    exit 1
fi
