"""The operators that a classifier of images needs, by domain; a graph with others is refused.

All are part of the ONNX standard (https://onnx.ai/onnx/operators). The shape of an output follows
from the shapes of the inputs and, for the operators in `SIZED`, from the values of small inputs
such as the target shape of Reshape, but never from pixels. Left out are operators that run a graph
of their own (If, Loop, Scan), whose output size depends on the pixels (NonZero, NonMaxSuppression),
that work on text or sequences, read files of images, or draw random numbers.
"""

from models.registry import markdown_table

_ELEMENTWISE = """
Abs Acos Acosh Add And Asin Asinh Atan Atanh BitwiseAnd BitwiseNot BitwiseOr BitwiseXor Cast
CastLike Ceil Celu Clip Cos Cosh CumSum Div Dropout Elu Equal Erf Exp Floor Gelu Greater
GreaterOrEqual HardSigmoid HardSwish Identity IsInf IsNaN LeakyRelu Less LessOrEqual Log Max Mean
Min Mish Mod Mul
Neg Not Or PRelu Pow Reciprocal Relu Round Selu Shrink Sigmoid Sign Sin Sinh Softplus Softsign Sqrt
Sub Sum Swish Tan Tanh ThresholdedRelu Where Xor
"""
_REDUCTIONS = """
ArgMax ArgMin GlobalAveragePool GlobalLpPool GlobalMaxPool Hardmax LogSoftmax LpNormalization
MeanVarianceNormalization ReduceL1 ReduceL2 ReduceLogSum ReduceLogSumExp ReduceMax ReduceMean
ReduceMin ReduceProd ReduceSum ReduceSumSquare Softmax TopK
"""
_LAYERS = """
AveragePool BatchNormalization Conv ConvInteger ConvTranspose DequantizeLinear DynamicQuantizeLinear
Einsum GRU Gemm GroupNormalization InstanceNormalization LRN LSTM LayerNormalization LpPool MatMul
MatMulInteger MaxPool QLinearConv QLinearMatMul QuantizeLinear RMSNormalization RNN
"""
_SHAPES = """
Concat Constant DepthToSpace EyeLike Flatten Gather GatherElements GatherND Reshape ScatterElements
ScatterND Shape Size Slice SpaceToDepth Split Squeeze Transpose Trilu Unsqueeze
"""
_LEARNING = """
ArrayFeatureExtractor Binarizer Imputer LinearClassifier LinearRegressor Normalizer SVMClassifier
Scaler TreeEnsembleClassifier TreeEnsembleRegressor
"""
SIZED = {
    "ConstantOfShape": (0,),
    "Expand": (1,),
    "OneHot": (1,),
    "Pad": (1, 3),
    "Range": (0, 1, 2),
    "Resize": (2, 3),
    "Tile": (1,),
    "Upsample": (1,),
}
"""Operators whose output may be far larger than their inputs → the indices of the inputs that set
its size."""
ALLOWED = {
    "": frozenset((_ELEMENTWISE + _REDUCTIONS + _LAYERS + _SHAPES).split()) | SIZED.keys(),
    "ai.onnx.ml": frozenset(_LEARNING.split()),
}
CLASS_NAMES = ("classlabels_ints", "classlabels_int64s", "classlabels_strings")
"""Attributes of classical learning's operators that hold the names of the classes."""
CONTROL_FLOW = frozenset(("If", "Loop", "Scan", "SequenceMap"))


def table() -> str:
    """The operators as a Markdown table."""
    rows = [
        [f"`{name or 'ai.onnx'}`", " ".join(sorted(operators))]
        for name, operators in ALLOWED.items()
    ]
    return markdown_table(["domain", "operators"], rows)


def domain(name: str) -> str:
    """Return a domain's name, with "" for the standard's own, which is also called `ai.onnx`."""
    return "" if name == "ai.onnx" else name


def refusal(op_type: str, of_domain: str) -> str | None:
    """Return why an operator is not run, and what to do; None if it is run."""
    if op_type in ALLOWED.get(of_domain, ()):
        return None
    if of_domain not in ALLOWED:
        return (
            f"it has the operator {op_type!r} of the domain {of_domain!r}, which is not of the "
            "ONNX standard; export the network with standard operators only"
        )
    if op_type in CONTROL_FLOW:
        return (
            f"it has control flow (the operator {op_type}), whose time and memory nobody can tell "
            "beforehand; export the network in evaluation mode with an input of fixed size, or "
            "simplify it with onnxsim"
        )
    return (
        f"it has the operator {op_type!r}, which Fanlight does not run; classifiers of images need "
        "none but those in docs/onnx.md: export the network without it, or at a lower opset"
    )
