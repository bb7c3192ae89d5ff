"""A module imports only lower floors, and within its floor only modules listed before it."""

import ast
from importlib import import_module
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "mimtheory"

FLOORS = [
    [
        *(
            "html_tables",
            "whole_files",
            "arguments",
            "rounding",
            "norms",
            "relations",
            "polynomials",
            "surd_spans",
            "balls",
            "expressions",
            "ball_functions",
            "tails",
        ),
        "suprema",
        *("formula_pieces", "formula_constants", "losses", "activation_zoo", "activations"),
        *("concentration.vectors", "concentration.chi_squared", "concentration.means", "concentration.matrices"),
        *("concentration", "delta_budget", "environment"),
    ],
    [
        *(
            "kernels.partition",
            "kernels.threads",
            "kernels.vector_code",
            "kernels.compiling",
            "kernels.tiles",
            "kernels.elementary",
        ),
        *(
            "kernels.products",
            "kernels.pointwise",
            "kernels.philox",
            "kernels.one_vector",
            "kernels.sweep",
            "kernels.gaussians",
        ),
        *("kernels.leaves", "kernels.elementwise"),
        *("kernels.first_layer", "kernels.hessian_power", "kernels.second_layer"),
        *("kernels.warming", "kernels.roofline"),
        "kernels",
    ],
    [
        *("link_text", "links"),
        *("polynomial_roots", "angle_grids"),
        *("segment_integrals", "transitions", "line_integrals"),
        "gaussian_integrals",
        "closed_forms",
        "polynomial_derivatives",
        "piecewise_lines",
        "dyadic_cells",
        "weighted_moments",
        "box_sums",
        "box_integrals",
        "fourth_moments",
        "polar_integrals",
        "quadratic_integrals",
        *("additive_forms", "oscillation_bounds", "exponential_sums", "additive_series", "additive_laws"),
        "smooth_derivatives",
        *("smooth_integrals", "gaussian_moments"),
        "symmetries",
        "enclosures",
        "rank_bounds",
        *("certificate.fields", "certificate.degeneracy", "certificate.record"),
        *("certificate.making", "certificate.checking", "certificate"),
        "parametric_hessian",
        "hessian_results",
        "hessian",
        "centring",
        "link_exponents",
        "spectral_costs",
        "setting",
        "population",
        "assumptions",
        "growth",
        "registry",
        "own_lemmas",
    ],
    [
        *("operators", "sample", "stage_one", "linearised"),
        *("generalisation", "stage_two", "normal_equations", "experiment", "neuron_parts", "training"),
    ],
    [
        *("lemmas.a2_prior", "lemmas.a2_operator_norm", "lemmas.a3_spectral_separation", "lemmas.a4_q_norm"),
        *("lemmas.a1_total_perturbation", "lemmas.a5_compounding", "lemmas.a6_norm_after_t1"),
        *("lemmas.a7_alignment", "lemmas.a8_coverage"),
        *("lemmas.b1_outer_descent", "lemmas.b2_test_error", "lemmas.b3_projection"),
        *("lemmas.b4_uniform_deviation", "lemmas.b5_fitted_centre"),
        *("lemmas.theorem1", "lemmas.corollary31", "lemmas"),
    ],
    [
        *(
            "advisor",
            "exploration",
            "input_checks",
            "measuring",
            "estimator",
            "portrait",
            "verdicts",
            "store",
            "plan",
            "strategies",
            "search",
        ),
        *("tasks", "judging", "workers", "harness", "frontier", "comparing", "diagnosis", "pytest_plugin", "testing"),
    ],
    [
        *("reporting.mathml", "reporting.prose", "reporting.drawing", "reporting.plots", "reporting.run_plots"),
        *("reporting.dependencies", "reporting.page"),
        *("reporting", "terminal", "benchmarking", "benchmark_page", "verify_command", "exits", "cli", "__main__"),
    ],
]
ORDER = [module for floor in FLOORS for module in floor]
FORBIDDEN_NAMES = {"utils", "helpers", "common", "misc"}


def module_name(path: Path) -> str:
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_name(path): path for path in PACKAGE.rglob("*.py")}


def imports_of(source: str) -> set[str]:
    """Project modules that a source imports, type-checking blocks and function bodies included."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        for name in names:
            inner = name.removeprefix("mimtheory.")
            if name != inner and inner in ORDER:
                found.add(inner)
    return found


def test_every_module_stands_on_a_floor() -> None:
    assert set(MODULES) - {""} == set(ORDER)


@pytest.mark.parametrize("module", ORDER)
def test_imports_only_what_stands_before_it(module: str) -> None:
    if module not in MODULES:
        pytest.fail(f"{module} is on a floor but has no file")
    before = ORDER[: ORDER.index(module)]
    package = module.split(".")[0]
    above = {name for name in imports_of(MODULES[module].read_text()) if name not in before and name != package}
    assert not above, f"{module} imports {sorted(above)}, which stand above it"


def test_the_reader_of_imports_sees_an_upward_import() -> None:
    assert imports_of("def f():\n    from mimtheory.harness import run\n") == {"harness"}
    assert imports_of("import mimtheory.cli") == {"cli"}
    assert imports_of("from mimtheory import lemmas") == {"lemmas"}


def test_no_module_has_a_name_that_says_nothing() -> None:
    assert not FORBIDDEN_NAMES & {part for module in MODULES for part in module.split(".")}


def test_no_module_bears_the_name_of_a_public_function() -> None:
    import mimtheory

    assert not set(mimtheory.__all__) & {module.split(".")[0] for module in MODULES}


def test_a_public_name_comes_from_the_module_that_lists_it() -> None:
    import mimtheory

    assert {*mimtheory._HOME, "__version__"} == set(mimtheory.__all__)
    for name, module in mimtheory._HOME.items():
        assert name in import_module(f"mimtheory.{module}").__all__, (name, module)
