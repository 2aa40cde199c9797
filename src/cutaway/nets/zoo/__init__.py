"""The zoo: nets by name, a family a file."""

from cutaway.nets.zoo import alexnet, googlenet, lenet, resnet, small, vgg
from cutaway.nets.zoo.entry import ZOO, ZooNet
from cutaway.nets.zoo.find import find_net, plan_net

__all__ = ["ZOO", "ZooNet", "alexnet", "find_net", "googlenet", "lenet", "plan_net", "resnet", "small", "vgg"]
