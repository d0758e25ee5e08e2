"""verl's settings: objectives, DAPO's parts, the critic, corrections, and its two trainers of SFT."""

import pytest

from strop.objectives.policy_settings import PolicyGradientSettings

ACTOR = "actor_rollout_ref.actor"
BASE = ("data.train_files=train.parquet data.train_batch_size=16 data.max_response_length=128 "
        "actor_rollout_ref.model.path=org/base actor_rollout_ref.rollout.n=4 trainer.total_training_steps=10 "
        f"{ACTOR}.ppo_mini_batch_size=16")  # fmt: skip


@pytest.fixture
def verl(convert):
    def call(*settings, estimator="grpo"):
        command = f"python3 -m verl.trainer.main_ppo algorithm.adv_estimator={estimator} {BASE} {' '.join(settings)}"
        done = convert("run.sh", command, "--fresh")
        assert done.code == 0, done.err
        return done

    return call


def objective(done, *names):
    whole = PolicyGradientSettings(**done.stage["objective"])
    return tuple(getattr(whole, name) for name in names)


PARTS = ("ratio", "clip", "clip_low", "clip_high", "dual_clip", "reduction")


@pytest.mark.parametrize(
    ("mode", "wanted"),
    [
        ("vanilla", ("token", "ppo", 0.2, 0.28, 3.0, "token_mean")),
        ("gspo", ("sequence", "ppo", 0.2, 0.28, None, "seq_mean")),
        ("cispo", ("token", "cispo", 0.2, 0.28, None, "token_mean")),
        ("geo_mean", ("token", "ppo", 0.2, 0.28, 3.0, "token_mean")),
        ("clip_cov", ("token", "ppo", 0.2, 0.28, 3.0, "token_mean")),
    ],
)
def test_modes_of_the_loss(verl, mode, wanted):
    done = verl(f"{ACTOR}.policy_loss.loss_mode={mode} {ACTOR}.clip_ratio_high=0.28 {ACTOR}.policy_loss.clip_cov_ub=5")
    assert objective(done, *PARTS) == wanted
    known = mode in ("vanilla", "gspo", "cispo")
    assert (f"{ACTOR}.policy_loss.loss_mode" in done.unmapped) == (not known)


def test_a_lower_bound_of_the_ratio_below_nothing_is_none(verl):
    assert objective(verl(f"{ACTOR}.policy_loss.loss_mode=cispo {ACTOR}.clip_ratio_low=10"), "clip_low") == (None,)


def test_dapo(verl):
    done = verl(
        "algorithm.filter_groups.enable=True algorithm.filter_groups.max_num_gen_batches=4 "
        "algorithm.filter_groups.metric=acc data.gen_batch_size=48 reward_model.overlong_buffer.enable=True "
        "reward_model.overlong_buffer.len=32 reward_model.overlong_buffer.penalty_factor=0.5 "
        "reward_model.reward_manager=dapo"
    )
    assert (done.stage["rollout"]["no_spread"], done.stage["rollout"]["refill"]) == ("drop", 3)
    assert objective(done, "overlong_buffer", "overlong_penalty") == (32 / 128, 0.5)
    assert done.unmapped.keys() == {"algorithm.filter_groups.metric", "data.gen_batch_size"}


@pytest.mark.parametrize(
    "section", ["reward_model.reward_kwargs.overlong_buffer_cfg", "reward.reward_kwargs.overlong_buffer_cfg"]
)
def test_the_penalty_on_length_under_its_other_names(verl, section):
    most = section.replace("overlong_buffer_cfg", "max_resp_len")
    done = verl(f"+{section}.enable=True +{section}.len=64 +{section}.log=False +{most}=128")
    assert objective(done, "overlong_buffer", "overlong_penalty") == (0.5, 1.0)
    assert done.unmapped == {}
    assert objective(verl(f"+{section}.enable=False +{section}.len=64"), "overlong_buffer") == (None,)


def test_groups_without_an_end_or_a_band(verl):
    done = verl("algorithm.filter_groups.enable=True algorithm.filter_groups.max_num_gen_batches=0")
    assert done.stage["rollout"]["refill"] == 100
    assert any("without an end" in note for note in done.account["notes"])
    done = verl("algorithm.filter_groups.enable=True algorithm.filter_groups.filter_type=band_pass")
    assert "no_spread" not in done.stage["rollout"]
    assert "algorithm.filter_groups.enable" in done.unmapped


@pytest.mark.parametrize(
    ("given", "group"),
    [
        ("", {"learning_rate": 1e-5}),
        ("critic.optim.lr=3e-5", {"learning_rate": 3e-5}),
        ("critic.optim.weight_decay=0.1", {"learning_rate": 1e-5, "weight_decay": 0.1}),
    ],
)
def test_a_critic_has_its_own_rate(verl, given, group):
    done = verl(given, "critic.ppo_micro_batch_size_per_gpu=4", estimator="gae")
    assert done.stage["train"]["groups"] == [{"match": "^critic", **group}]
    assert done.stage["critic"] == {"separate": True}
    assert done.unmapped == {}


def test_reinforce_plus_plus_whitens(verl):
    done = verl(estimator="reinforce_plus_plus")
    assert objective(done, "preset", "advantage", "advantage_scale") == ("reinforce", "batch_mean", "batch_std")
    assert done.unmapped == {}
    assert "algorithm.gamma" in verl("algorithm.gamma=0.99", estimator="reinforce_plus_plus").unmapped
    done = verl(estimator="reinforce_plus_plus_baseline")
    assert objective(done, "advantage", "advantage_scale") == ("group_mean", "batch_std")
    assert "algorithm.gamma" not in verl("algorithm.gamma=0.99").unmapped  # which grpo does not read


CORRECTED = ("correction", "correction_level", "correction_cap")
IS = "algorithm.rollout_correction.rollout_is"


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        (f"{IS}=token", ("truncate", "token", 2.0)),
        (f"{IS}=sequence {IS}_threshold=5", ("truncate", "sequence", 5.0)),
        (f"{IS}=token {IS}_threshold=0.5_3.0", ("mask", "token", 3.0)),
        (f"{IS}=null", ("auto", "token", 2.0)),
        ("algorithm.rollout_correction.bypass_mode=True", ("direct", "token", 2.0)),
        (f"+{ACTOR}.tis_imp_ratio_cap=4", ("truncate", "token", 4.0)),
        (f"+{ACTOR}.tis_imp_ratio_cap=-1", ("auto", "token", 2.0)),
    ],
)
def test_corrections_of_another_sampler(verl, given, wanted):
    done = verl(given)
    assert objective(done, *CORRECTED) == wanted
    assert done.unmapped == {}


def test_a_rejection_is_told(verl):
    done = verl("algorithm.rollout_correction.rollout_rs=seq_mean_k1")
    assert "objective.correction=mask" in done.unmapped["algorithm.rollout_correction.rollout_rs"]


def test_a_steered_divergence_is_in_other_units(verl):
    given = "algorithm.kl_ctrl.type=adaptive algorithm.kl_ctrl.target_kl=0.1 algorithm.kl_ctrl.horizon=10000"
    done = verl(given, "algorithm.use_kl_in_reward=True")
    assert objective(done, "kl_place", "kl_target") == ("reward", None)
    assert "per token" in done.unmapped["algorithm.kl_ctrl.target_kl"]
    assert verl(given).unmapped == {}  # there is no divergence in the reward to be steered
    assert verl("algorithm.kl_ctrl.type=fixed", "algorithm.use_kl_in_reward=True").unmapped == {}


@pytest.mark.parametrize(("kind", "estimator"), [("low_var_kl", "k3"), ("low_var_kl+", "k2"), ("mse", "k2")])
def test_estimators_of_the_divergence(verl, kind, estimator):
    done = verl(f"{ACTOR}.use_kl_loss=True {ACTOR}.kl_loss_type={kind}")
    assert objective(done, "kl_estimator") == (estimator,)


def test_a_filter_that_lets_all_through_is_not_told(verl):
    name = "actor_rollout_ref.rollout"
    assert verl(f"{name}.top_p=1.0 {name}.top_k=-1 {name}.do_sample=True trainer.critic_warmup=0").unmapped == {}
    assert verl(f"{name}.top_p=0.9 {name}.top_k=50").unmapped.keys() == {f"{name}.top_p", f"{name}.top_k"}


def test_a_constant_length(verl):
    done = verl(f"{ACTOR}.loss_agg_mode=seq-mean-token-sum-norm {ACTOR}.loss_scale_factor=3000")
    assert objective(done, "reduction", "loss_constant") == ("constant", 3000.0)


def test_the_rate_rises_over_batches_of_rollouts(verl):
    done = verl(
        f"{ACTOR}.ppo_mini_batch_size=4 {ACTOR}.ppo_epochs=2 {ACTOR}.optim.lr_warmup_steps=3 trainer.save_freq=5"
    )
    train = done.stage["train"]  # 16 prompts in a batch: four steps of four, twice
    assert (train["warmup_steps"], train["checkpoint_every"], train["max_steps"]) == (3 * 8, 5 * 8, 10 * 8)


NEW = ("torchrun --nproc_per_node=2 -m verl.trainer.sft_trainer data.train_files=chat.jsonl model.path=org/base "
       "trainer.total_epochs=2 data.train_batch_size=4")  # fmt: skip


def test_the_present_trainer_of_sft(convert):
    given = "data.messages_key=turns engine=fsdp optim=fsdp optim.lr=1e-4 data.pad_mode=no_padding"
    done = convert("sft.sh", f"{NEW} {given}")
    assert done.code == 0, done.err
    train = done.stage["train"]
    assert (train["schedule"], train["warmup_ratio"], train["beta2"]) == ("constant", 0.0, 0.999)
    assert (train["micro_batch_tokens"], train["learning_rate"]) == (8192, 1e-4)
    assert done.stage["data"] == [{"path": "chat.jsonl", "columns": {"messages": "turns"}}]
    assert done.unmapped == {}


def test_its_schedules(convert):
    done = convert(
        "sft.sh", f"{NEW} optim.lr_scheduler_type=wsd optim.lr_warmup_steps_ratio=0.1 optim.min_lr_ratio=0.2"
    )
    train = done.stage["train"]
    # A tenth of what comes after the warm-up.
    assert (train["schedule"], train["warmup_ratio"], train["decay_ratio"]) == ("wsd", 0.1, 0.09)
    assert train["min_lr_ratio"] == 0.2
    assert train["epochs"] == 2


@pytest.mark.parametrize("name", ["trainer.save_freq", "trainer.test_freq"])
def test_after_each_epoch_is_a_frequency(convert, verl, name):
    done = convert("sft.sh", f"{NEW} data.val_files=chat.jsonl {name}=after_each_epoch")
    assert done.code == 0, done.err
    wanted = {"trainer.save_freq": ("checkpoint_every", "auto"), "trainer.test_freq": ("eval_every", 1)}[name]
    assert done.stage["train"][wanted[0]] == wanted[1]  # four rows, four of them in a step
    assert name in verl(f"{name}=after_each_epoch").unmapped


def test_groups_without_spread_stay_where_answers_are_not_compared_within_them(verl):
    done = verl("algorithm.adv_estimator=gae algorithm.filter_groups.enable=True")
    assert "no_spread" not in done.stage["rollout"]
    assert "teach something too" in done.unmapped["algorithm.filter_groups.enable"]


BOTH = f"{ACTOR}.use_kl_loss=True algorithm.use_kl_in_reward=True"


@pytest.mark.parametrize(
    ("coefs", "wanted", "told"),
    [
        ((0.002, 0.05), (0.002, "loss", "k3"), True),
        ((0.002, 0), (0.002, "loss", "k3"), False),
        ((0, 0.05), (0.05, "reward", "k1"), False),
    ],
)
def test_of_two_divergences_the_one_in_the_loss_is_here(verl, coefs, wanted, told):
    done = verl(f"{BOTH} {ACTOR}.kl_loss_coef={coefs[0]} algorithm.kl_ctrl.kl_coef={coefs[1]}")
    assert objective(done, "kl_coef", "kl_place", "kl_estimator") == wanted
    left = {"algorithm.use_kl_in_reward", "algorithm.kl_ctrl.kl_coef"} if told else set()
    assert done.unmapped.keys() == left
    assert all("one KL divergence" in done.unmapped[name] for name in left)


def test_how_many_rows(verl, tmp_path):
    done = verl("data.train_max_samples=10")
    assert done.stage["data"] == [{"path": "train.parquet", "count": 10}]
    assert "data.train_files, data.train_max_samples" in {one["setting"] for one in done.account["mapped"]}
    assert done.unmapped == {}
    done = verl("data.train_files=['train.parquet','train.parquet'] data.train_max_samples=10")
    assert done.stage["data"] == [{"path": "train.parquet"}] * 2
    assert "all files together" in done.unmapped["data.train_max_samples"]
    assert verl("data.train_max_samples=-1").stage["data"] == [{"path": "train.parquet"}]
