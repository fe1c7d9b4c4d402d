# SPDX-License-Identifier: MIT
"""'berth-driver doctor --policy': the minimal IAM policy of a configuration."""

import json

from support.doctor import ACCOUNT
from support.ecs_moto import REGION


def statements(place, **env):
    code, out, err = place.run("--policy", **env)
    assert code == 0, err
    policy = json.loads(out)
    assert policy["Version"] == "2012-10-17"
    return {row["Sid"]: row for row in policy["Statement"]}, err


def test_policy_for_a_task_without_roles(place):
    place.define(drop=("executionRoleArn", "taskRoleArn"))
    _, out, _ = place.run()
    assert "ecs:RunTask is allowed" in out and "iam:PassRole" not in out
    assert "GiveRoles" not in statements(place)[0]


def test_policy_of_this_configuration(place):
    rows, err = statements(place)
    assert err == ""
    ours = f"arn:aws:ecs:{REGION}:{ACCOUNT}"
    cluster = {"ArnEquals": {"ecs:cluster": f"{ours}:cluster/{place.name}"}}
    assert rows["Launch"]["Resource"] == [f"{ours}:task-definition/{place.name}:*"]
    assert rows["Launch"]["Condition"] == rows["Find"]["Condition"] == cluster
    assert rows["WatchAndStop"]["Resource"] == [f"{ours}:task/{place.name}/*"]
    assert rows["GiveRoles"]["Resource"] == [
        f"arn:aws:iam::{ACCOUNT}:role/berth-execution",
        f"arn:aws:iam::{ACCOUNT}:role/berth-job",
    ]
    assert "Tag" not in rows and "FindAddress" in rows, "EnablePublicIP without UsePublicIP"
    image = f"arn:aws:ecr:{REGION}:{ACCOUNT}:repository/{place.repository}"
    assert rows["DoctorImage"]["Resource"] == [image]
    assert rows["DoctorImage"]["Action"] == ["ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"]
    assert all(row["Effect"] == "Allow" for row in rows.values())
    place.fargate.update(
        Tags=["a=b"], UsePublicIP=True, AllowedTaskDefinitions=["ruby*"], TaskRole="special"
    )
    more, _ = statements(place)
    assert f"{ours}:task-definition/ruby*:*" in more["Launch"]["Resource"]
    assert f"arn:aws:iam::{ACCOUNT}:role/special" in more["GiveRoles"]["Resource"]
    assert {"Tag", "FindAddress"} <= set(more)
    for settings in ({"UsePublicIP": False}, {"EnablePublicIP": False}):
        place.fargate.pop("UsePublicIP", None)
        place.fargate.update(settings)
        assert "FindAddress" not in statements(place)[0]


def test_policy_names_the_repository_of_another_region_and_account(place):
    other = "111122223333.dkr.ecr.cn-north-1.amazonaws.com.cn"
    place.define(container={"image": f"{other}/team/ci:1"})
    rows, _ = statements(place)
    assert rows["DoctorImage"]["Resource"] == [
        "arn:aws-cn:ecr:cn-north-1:111122223333:repository/team/ci"
    ]


def test_policy_for_an_image_that_is_not_in_ecr(place):
    place.define(container={"image": "ruby:3.3"})
    assert "DoctorImage" not in statements(place)[0]


def test_policy_without_credentials(place):
    rows, err = statements(place, AWS_ACCESS_KEY_ID="", AWS_SECRET_ACCESS_KEY="")
    assert "the account in the policy is '*'" in err
    assert rows["Launch"]["Resource"] == [f"arn:aws:ecs:{REGION}:*:task-definition/{place.name}:*"]
    assert rows["DoctorImage"]["Resource"] == [f"arn:aws:ecr:{REGION}:*:repository/*"]


def test_policy_is_valid_for_iam(place):
    """moto's IAM refuses a document with a syntax error."""
    rows, _ = statements(place)
    iam = place.moto.client("iam")
    iam.create_policy(
        PolicyName=place.name,
        PolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": list(rows.values())}),
    )


def test_policy_is_for_ecs_only(berth_driver):
    done = berth_driver.run("doctor", "--policy")
    assert done.returncode == 2 and "the backend 'local' needs no AWS permissions" in done.stderr


def test_policy_names_the_callers_role(place):
    place.faults.always["GetCallerIdentity"] = (
        "body:<GetCallerIdentityResponse><GetCallerIdentityResult>"
        f"<Arn>arn:aws:sts::{ACCOUNT}:assumed-role/runner/i-1</Arn><Account>{ACCOUNT}</Account>"
        "</GetCallerIdentityResult></GetCallerIdentityResponse>"
    )
    rows, _ = statements(place)
    role = f"arn:aws:iam::{ACCOUNT}:role/runner"
    assert rows["DoctorAsks"]["Resource"] == [role]
    assert place.run()[0] == 0
    asked = [c for c in place.faults.calls if c.operation == "SimulatePrincipalPolicy"]
    assert {call.parameters["PolicySourceArn"] for call in asked} == {role}


def test_policy_of_an_admin_is_not_about_the_admins_role(place):
    """A role of IAM Identity Center is a person's, not the runner's."""
    name = "AWSReservedSSO_AdministratorAccess_0123456789abcdef"
    place.faults.always["GetCallerIdentity"] = (
        "body:<GetCallerIdentityResponse><GetCallerIdentityResult>"
        f"<Arn>arn:aws:sts::{ACCOUNT}:assumed-role/{name}/jo@example.org</Arn>"
        f"<Account>{ACCOUNT}</Account></GetCallerIdentityResult></GetCallerIdentityResponse>"
    )
    rows, _ = statements(place)
    assert rows["DoctorAsks"]["Resource"] == [f"arn:aws:iam::{ACCOUNT}:role/*"]


def test_policy_for_look_ups_in_ecr(place):
    """Only with generated definitions, and only the repositories that are named."""
    names = {"LogInToEcr", "LookAtImages"}
    own = f"{ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com"
    place.driver.settings["Helper"] = {"AgentImage": f"{own}/berth-agent:1"}
    assert not names & set(statements(place)[0])
    place.fargate["AllowedImages"] = ["node:*", f"{own}/team/**", f"{own}/one:*", "r.example/**"]
    place.fargate["AllowedServices"] = [f"{own}/db@sha256:*"]
    place.fargate["ImageRewrite"] = [f"docker.io={own}/hub"]
    rows, _ = statements(place)
    assert rows["LogInToEcr"]["Action"] == ["ecr:GetAuthorizationToken"]
    assert rows["LogInToEcr"]["Resource"] == ["*"]
    assert rows["LookAtImages"]["Action"] == ["ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"]
    prefix = f"arn:aws:ecr:{REGION}:{ACCOUNT}:repository/"
    assert [name.removeprefix(prefix) for name in rows["LookAtImages"]["Resource"]] == [
        "berth-agent", "hub/*", "team/*", "one", "db",
    ]  # fmt: skip
    place.driver.settings["Helper"] = {"AgentImage": "r.example/berth-agent:1"}
    place.fargate.pop("AllowedServices"), place.fargate.pop("ImageRewrite")
    place.fargate["AllowedImages"] = ["node:*"]
    assert not names & set(statements(place)[0])
