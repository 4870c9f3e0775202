"""The verdict in words follows the figures."""

from training.metrics.verdict import judge

GOOD = {
    "style_distance_mobilenet_v2": {"ratio": 0.24},
    "edge_density": {"photos": 0.05, "drawings": 0.03, "style": 0.027},
    "skin_hue_shift_degrees": {"all": {"median": 2.6}},
    "droplets": {"drawings": 0},
    "faces_in_photos": 60,
    "faces_lost_in_drawings": 6,
}


def test_good_figures_need_no_advice():
    assert judge(GOOD) == (
        "in the style (0.24 of the photos' distance), lines as in the style, skin kept"
    )


def test_each_fault_is_named_with_what_to_do():
    soft = judge(GOOD | {"edge_density": {"drawings": 0.01, "style": 0.027}})
    assert "skin kept" in soft and soft.endswith(
        "lines soft (0.37 of the style's), skin kept: more images of the style"
    )
    photo = judge(GOOD | {"style_distance_mobilenet_v2": {"ratio": 0.9}})
    assert photo.startswith("still a photo (0.90") and "--weight-style" in photo
    tinted = judge(GOOD | {"skin_hue_shift_degrees": {"all": {"median": 11.2}}})
    assert "skin tinted by 11 degrees" in tinted and tinted.endswith(": raise --weight-color")
    assert "20 of 60 faces no longer found" in judge(GOOD | {"faces_lost_in_drawings": 20})
    assert "stains in 3 drawings: lower --lr-d" in judge(GOOD | {"droplets": {"drawings": 3}})


def test_without_a_style_there_is_little_to_say():
    assert judge({"edge_density": {"photos": 0.1, "drawings": 0.1}}).startswith("nothing to judge")
