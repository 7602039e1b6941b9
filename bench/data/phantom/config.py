"""What a phantom is made of: the diagnostic factors, the classes, the artifacts, and the options a user may set."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from bench.contracts import Options

Rate = Annotated[float, Field(ge=0.0, le=1.0)]
Weight = Annotated[float, Field(ge=0.0)]
ArtifactName = Literal["hair", "ruler", "dark_corner", "ink", "bubble"]
LesionClass = Literal["nv", "bkl", "bcc", "akiec", "df", "vasc"]


@dataclass(frozen=True)
class Factor:
    """One diagnostic property of a lesion.

    A latent z, normal with unit variance, becomes the drawn amount low + (high - low) / (1 + exp(-1.2 (z - middle))):
    strictly increasing, so the amount tells as much of the class as z itself. A high ``middle`` makes the property
    rare. ``melanoma`` is the direction in which melanoma differs from a nevus before scaling to the chosen d'.
    """

    name: str
    low: float
    high: float
    middle: float
    melanoma: float
    meaning: str


FACTORS = (
    Factor("asymmetry", 0.0, 1.0, 0.0, 0.8, "odd outline and lopsided pigment (A of the ABCD rule)"),
    Factor("border", 0.005, 0.14, 0.2, 0.8, "ragged outline: rms of the high harmonics over the radius (B)"),
    Factor("colour", 0.0, 1.4, 0.6, 1.0, "variegation: contrast of dark, light and red zones (C)"),
    Factor("diameter", 0.28, 0.76, 0.0, 0.8, "mean radius over half the image side (D)"),
    Factor("darkness", 0.45, 2.1, 0.0, 0.5, "melanin of the lesion body, optical density"),
    Factor("network", 0.0, 1.8, 0.3, -0.4, "pigment network: density of the mesh lines"),
    Factor("streaks", 0.0, 12.0, 0.9, 0.6, "number of radial streaks at the border"),
    Factor("globules", 0.0, 24.0, 0.8, 0.4, "number of brown globules"),
    Factor("veil", 0.0, 0.7, 1.3, 0.6, "blue-white veil: opacity"),
    Factor("redness", 0.0, 2.0, 2.2, 0.0, "haemoglobin of the lesion, optical density"),
    Factor("cysts", 0.0, 16.0, 3.0, 0.0, "number of milia-like cysts"),
    Factor("scar", 0.0, 0.85, 3.0, 0.0, "central white patch: opacity"),
    Factor("negative_network", 0.0, 0.8, 3.0, 0.0, "light mesh over part of the lesion: opacity"),
    Factor("scale", 0.0, 0.9, 3.0, 0.0, "whitish-yellow surface scale: opacity"),
)
FACTOR_NAMES = tuple(f.name for f in FACTORS)

# Means of the other classes relative to a nevus, in the units of ``Factor.melanoma``: which way a class leans,
# after the descriptions of the seven HAM10000 categories (Tschandl, Rosendahl, Kittler 2018). Not measured on images.
CLASS_SHIFTS: dict[str, dict[str, float]] = {
    "nv": {},
    "mel": {f.name: f.melanoma for f in FACTORS},
    "bkl": {"cysts": 2.4, "scale": 1.0, "network": -1.0, "colour": 0.4, "border": 0.2, "globules": 0.3},
    "bcc": {"redness": 1.0, "veil": 0.9, "network": -1.3, "darkness": -0.9, "globules": 0.6, "asymmetry": 0.4},
    "akiec": {"redness": 1.3, "scale": 2.3, "darkness": -1.2, "network": -1.0, "border": 0.5},
    "df": {"scar": 2.6, "network": 0.5, "diameter": -0.7, "darkness": -0.4},
    "vasc": {"redness": 2.6, "globules": 0.7, "darkness": -1.0, "network": -1.5, "diameter": -0.6},
}

# About the shares seen in HAM10000 (the annotation of its 10,015 images finds .30 .11 .15 .01 .07), ink more often.
DEFAULT_RATES: dict[str, float] = {"hair": 0.3, "ruler": 0.1, "dark_corner": 0.15, "ink": 0.03, "bubble": 0.08}
ARTIFACT_NAMES = tuple(DEFAULT_RATES)
MASK_NAMES = ("lesion", "border", "globules", "milia_like_cyst", "negative_network", "pigment_network", "streaks")


class PhantomConfig(Options):
    """Options of the phantom.

    n_train, n_test   images in the parts "train" and "test"; their patients differ
    prevalence        share of melanoma (of lesions, hence of images in expectation)
    class_weights     task "classes": relative weights of the six other classes
    d_prime           Mahalanobis distance between melanoma and nevus (benign) in factor space: AUC = Phi(d' / sqrt 2)
    lesions_per_patient, views_per_lesion   uniform between (fewest, most), both included
    artifact_rates    artifact -> rate, or artifact -> class -> rate (classes not named keep the default).
                      ``{"ruler": {"benign": 0.05, "melanoma": 0.6}}`` plants a shortcut
    ita               individual typology angle of the skin in degrees, uniform between (darkest, lightest)
    seed              another seed is another data set
    """

    n_train: int = Field(4000, ge=1)
    n_test: int = Field(1500, ge=1)
    prevalence: float = Field(0.2, gt=0.0, lt=1.0)
    class_weights: dict[LesionClass, Weight] = {
        "nv": 0.60,
        "bkl": 0.15,
        "bcc": 0.10,
        "akiec": 0.07,
        "df": 0.04,
        "vasc": 0.04,
    }
    d_prime: float = Field(2.0, ge=0.0, le=6.0)
    lesions_per_patient: tuple[int, int] = (1, 3)
    views_per_lesion: tuple[int, int] = (1, 3)
    artifact_rates: dict[ArtifactName, Rate | dict[str, Rate]] = {}
    ita: tuple[float, float] = (-25.0, 60.0)
    seed: int = Field(0, ge=0)

    @model_validator(mode="after")
    def _ranges_are_ordered(self) -> Self:
        for name in ("lesions_per_patient", "views_per_lesion"):
            low, high = getattr(self, name)
            if not 1 <= low <= high:
                raise ValueError(f"{name} must be (fewest, most) with 1 <= fewest <= most, got {low}, {high}")
        if not -90.0 < self.ita[0] <= self.ita[1] < 90.0:
            raise ValueError(f"ita must be (darkest, lightest) within -90..90 degrees, got {self.ita}")
        if sum(self.class_weights.values()) <= 0:
            raise ValueError("class_weights must not all be 0")
        return self
