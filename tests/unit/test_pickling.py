"""What describes a problem can be sent to another process or copied."""

import copy
import pickle

import pytest

import mimtheory
from mimtheory import Setting

SETTINGS = [
    Setting(link="h2", loss="l1", d=5, n=9),
    Setting(link="h4(z1) - sqrt(2)*z1*z2/7", loss="huber(1/3)", d=5, n=9, label_noise=0.1, centre="population"),
    Setting(link="He3(z1) + h2(z2)", loss="sqrt(1 + u**2)", d=5, n=9, activation="1 - exp(-u**2/2)", centre=0.7),
]


@pytest.mark.parametrize("setting", SETTINGS, ids=lambda s: s.loss.text)
def test_a_setting_and_its_parts_survive_a_pickle_and_a_copy(setting: Setting) -> None:
    for thing in (setting, setting.link, setting.loss, setting.activation):
        for again in (pickle.loads(pickle.dumps(thing)), copy.deepcopy(thing)):
            assert again == thing
            assert str(again) == str(thing)
    assert pickle.loads(pickle.dumps(setting)).to_json() == setting.to_json()


def test_a_link_of_many_variables_needs_no_text() -> None:
    noisy = mimtheory.link("z1*z2*z3*z4*z5*z6").with_noise(0.5)
    again = pickle.loads(pickle.dumps(noisy))
    assert (again, again.r, hash(again)) == (noisy, 7, hash(noisy))
