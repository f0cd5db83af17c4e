"""Secrets and credentials: who made them, who may read them, and what a wrong one is told."""

import stat
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from controlled import private
from nodeproof.cli.controller import command
from nodeproof.controller.client import read_credential
from nodeproof.controller.credentials import Authority, CredentialError, new_secret, read_secrets
from nodeproof.errors import NodeproofError, PolicyError

OLD, NEW = b"0f" * 32, b"a1" * 32


def test_a_credential_speaks_for_its_node() -> None:
    authority = Authority([NEW])

    assert authority.node_of(authority.credential("gpu-001.rack_2")) == "gpu-001.rack_2"
    assert authority.credential("n1") != authority.credential("n2")


def test_a_new_secret_makes_the_credentials_and_the_old_one_still_holds() -> None:
    old, both, new = Authority([OLD]), Authority([NEW, OLD]), Authority([NEW])

    assert both.credential("n1") == new.credential("n1")
    assert both.node_of(old.credential("n1")) == "n1"
    with pytest.raises(CredentialError, match="it was made from no secret that holds now"):
        new.node_of(old.credential("n1"))


CREDENTIAL = Authority([NEW]).credential("n1")
NODE, GENERATION, MAC = CREDENTIAL.split("~")


@pytest.mark.parametrize(
    ("credential", "words"),
    [
        ("", "it is not a credential"),
        ("n[1-3]~x~y", "it is not a credential"),
        ("../n1~x~y", "it is not a credential"),
        (f"n1~{GENERATION}~{MAC[:-1]}é", "it is not a credential"),
        ("n1", "it was made from no secret that holds now"),
        (f"n2~{GENERATION}~{MAC}", "it is forged or cut short"),
        (f"n1~{GENERATION}~{MAC[:-1]}", "it is forged or cut short"),
        (f"n1~{GENERATION}~", "it is forged or cut short"),
        (f"n1~{GENERATION}~{MAC}~", "it is forged or cut short"),
        (f"n1~00000000~{MAC}", "it was made from no secret that holds now"),
    ],
)
def test_what_is_no_credential_is_told_so_and_not_repeated(credential: str, words: str) -> None:
    with pytest.raises(CredentialError) as caught:
        Authority([NEW]).node_of(credential)

    assert str(caught.value) == words


@pytest.mark.parametrize("content", ["", "\n", "secret\n", "AB" * 32, "ab" * 31, ("ab" * 32 + "\n") * 17])
def test_a_secret_file_holds_secrets_and_nothing_else(tmp_path: Path, content: str) -> None:
    file = private(tmp_path / "secret", content.encode())

    with pytest.raises(PolicyError, match=r"controller\.secret_file: expected 1 to 16 lines of"):
        read_secrets(str(file))


def test_a_secret_that_others_may_read_is_none(tmp_path: Path) -> None:
    file = private(tmp_path / "secret", new_secret().encode())
    file.chmod(0o640)

    with pytest.raises(PolicyError, match=r"controller\.secret_file: has mode 0640, expected 0600"):
        read_secrets(str(file))
    with pytest.raises(PolicyError, match="make one with `nodeproof controller secret FILE`"):
        read_secrets("")


@pytest.mark.parametrize("content", [b"", b"two words", b"x" * 1025, b"\xff", b"a\nb"])
def test_a_credential_file_holds_one_credential(tmp_path: Path, content: bytes) -> None:
    file = private(tmp_path / "credential", content)

    with pytest.raises(PolicyError, match=r"controller\.credential_file: expected one credential"):
        read_credential(str(file))


# The command line


def run(*words: object) -> Result:
    result = CliRunner().invoke(command, [str(word) for word in words])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        assert isinstance(result.exception, NodeproofError)
    return result


def test_a_secret_is_made_private_and_never_over_another(tmp_path: Path) -> None:
    file = tmp_path / "secret"

    assert run("secret", file).output == f"{file}: a new secret\n"

    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    before = file.read_text()
    assert len(read_secrets(str(file))) == 1
    assert "is there already" in str(run("secret", file).exception)
    assert file.read_text() == before


def test_a_secret_is_added_on_top(tmp_path: Path) -> None:
    file = tmp_path / "secret"
    run("secret", file)
    before = read_secrets(str(file))

    assert run("secret", "--add", file).output == f"{file}: a new secret before 1 other\n"

    assert read_secrets(str(file))[1:] == before
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_credentials_are_printed_one_a_line(tmp_path: Path) -> None:
    file = private(tmp_path / "secret", NEW + b"\n" + OLD + b"\n")

    result = run("credential", "n[1-2]", "gpu001", "--secret-file", file)

    assert result.output.splitlines() == [Authority([NEW]).credential(n) for n in ("n1", "n2", "gpu001")]


def test_credentials_are_written_to_private_files(tmp_path: Path) -> None:
    file, out = private(tmp_path / "secret", NEW), tmp_path / "out"

    result = run("credential", "n[1-20]", "--secret-file", file, "--out-dir", out)

    assert result.output == f"{out}: wrote 20 credentials\n"
    assert stat.S_IMODE(out.stat().st_mode) == 0o700
    assert {stat.S_IMODE(f.stat().st_mode) for f in out.iterdir()} == {0o600}
    assert sorted(f.name for f in out.iterdir()) == sorted(f"n{k}" for k in range(1, 21))
    assert read_credential(str(out / "n7")) == Authority([NEW]).credential("n7")


@pytest.mark.parametrize("node", ["", "n1/../../x", "../x", "@all", "-n", ".n", "n1;n2", "n[1-", "n*"])
def test_what_is_no_node_name_gets_no_credential(tmp_path: Path, node: str) -> None:
    file = private(tmp_path / "secret", NEW)

    result = run("credential", "--secret-file", file, "--", node)

    assert result.exit_code == 2
    assert "~" not in result.output


def test_without_a_secret_there_are_no_credentials(tmp_path: Path) -> None:
    (tmp_path / "policy.d").mkdir(mode=0o755)

    result = run("credential", "n1", "--policy", tmp_path / "policy.d")

    assert "controller.secret_file: not set" in str(result.exception)
