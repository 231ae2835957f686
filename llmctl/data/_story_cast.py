"""Who the built-in stories are about and where they happen: names, kinds, traits, places, shared phrases."""

from __future__ import annotations

# The first of each list may be a hero of the series, who bears most of the stories.
GIRLS = """
Mia Lily Nora Ada Ruby Clara Rosa Priya Yuki Hana
"""
BOYS = """
Tom Leo Max Finn Oscar Theo Ravi Omar Kofi Jack
"""
ANIMAL_GIRLS = """
Clover Nutmeg Biscuit Juniper Pebble Toffee Waffle Truffle
"""
ANIMAL_BOYS = """
Pip Bramble Pepper Acorn Button Barley Hopper Rusty
"""
MAGIC_GIRLS = """
Ember Glimmer Willow Bluebell Opal Wisp
"""
MAGIC_BOYS = """
Flick Twig Puck Rune Thimble Cobweb
"""

ANIMALS = """
fox den paws, rabbit burrow paws, hedgehog nest paws, mouse hole paws, squirrel drey paws, badger sett
paws, otter holt paws, bear cub|cave paws, kitten basket paws, puppy kennel paws, mole tunnel paws,
raccoon hollow paws, beaver lodge paws, dormouse nest paws, hamster nest paws, wolf cub|den paws, monkey
treehouse hands, weasel den paws, hare hollow paws, chipmunk burrow paws, piglet sty trotters, duckling
nest wings, koala treehouse paws, gosling nest wings, panda cave paws
"""
MAGIC = """
dragonling cave claws, elf cottage hands, gnome cottage hands, fairy toadstool hands, pixie treehouse hands,
goblin cave hands, kobold cave hands, sprite treehouse hands, imp cottage hands
"""

ELDERS = """
Grandma she, Grandpa he, Granny she, Grandad he, Mama she, Papa he, Aunt Rosie she, Uncle Bert he,
Great-Aunt Tilly she, Uncle Moss he, Nana she, Aunt Petunia she
"""
HELPERS = """
owl old wise sleepy, tortoise slow ancient wrinkly, heron tall grey elegant, toad plump warty cheerful,
crow clever glossy one-eyed, snail tiny silvery polite, goose bossy white noisy, donkey grey gentle
shaggy, stork tall tired long-legged, goat bearded scruffy hungry, spider small busy spindly, turtle mossy
kindly old, cricket musical green lively, pelican portly jolly old, caterpillar fuzzy stripy thoughtful,
pony brown patient dusty, bumblebee stout sleepy golden, swan proud graceful white, lizard spotted quick
cunning, bat little upside-down quiet
"""

TRAITS = """
curious; asked more questions before breakfast than most folk ask all week; opened {his} eyes wide and
looked a little closer

patient; could watch a snail cross a whole path without sighing once; took three slow breaths and waited
for an idea

stubborn; never left a puzzle half done; stamped one foot and refused to give up

cheerful; whistled even when the porridge was burnt; hummed a brave little tune

clever; could untie any knot in the time it takes to sneeze; tapped {his} nose and thought until an idea
popped up

careful; always looked twice before jumping over a puddle; thought it over twice, just to be sure

brave; had once told a very rude wasp to mind its manners; swallowed hard and took one step forward

gentle; carried beetles off the road so that nobody would tread on them; sat down quietly and let {his}
heart grow calm

hopeful; could find a rainbow in the smallest puddle; told {himself} that things would surely get better

quiet; spoke little and listened a great deal; stayed very still and listened hard

thoughtful; remembered everybody's birthday, even the beetle's; remembered what {elder} always said about
taking one small step at a time

determined; practised every new thing until it was easy; counted to ten and made up {his} mind

playful; turned every chore into a game; pretended that the whole trouble was only a game

sensible; kept a ball of string handy in case of trouble; made a plan with three small steps

dreamy; often put odd socks on and never noticed; closed {his} eyes and pictured how things ought to be

friendly; said good morning to the bees, the beetles and the fence posts; thought hard about who might
know more

tidy; lined up {his} treasures from smallest to largest each evening; put {his} thoughts in order, one by
one

bold; would try anything twice, even turnip jam; put {his} chin up and marched straight ahead

honest; could not tell a fib without sneezing; took a good, honest look at the trouble

imaginative; saw castles in the clouds and camels in the gravy; imagined seven silly answers and then a
good one
"""

# Each place: whose it is (h children, w wild animals, m magic folk); where; six spots; the neighbours.
PLACES = """
h; in a village beside a slow green river; the old mill, the stone bridge, the bakery, the duck pond, the
church steps, the blacksmith's yard; the villagers

h; in a crooked town on top of a windy hill; the clock tower, the market square, the toy shop, the iron
gate, the library, the cobbler's door; the townsfolk

h; on a farm where the fields roll down to the sea; the red barn, the haystack, the hen house, the orchard
wall, the pumpkin patch, the rusty tractor; the neighbours

h; in a fishing town by the sea; the lighthouse, the harbour wall, the rock pools, the ice-cream hut, the
sand dunes, the upturned boats; the fishing families

h; on a small island with one lighthouse and forty goats; the jetty, the goat shed, the shell beach, the
tall cliffs, the tiny school, the lemon trees; the islanders

h; in a mountain village where the snow sparkles; the wooden chapel, the frozen fountain, the sledge hill,
the pine trees, the cheese maker's hut, the rope bridge; the villagers

h; in a busy city street between a bakery and a bicycle shop; the park gates, the bus stop, the flower
stall, the fire station, the little theatre, the swings; the neighbours

h; in an old town with blue doors and orange roofs; the plum grove, the deep well, the spice market, the
pony stable, the white wall, the fig tree; the townsfolk

hw; in a house on the edge of a whispering wood; the garden gate, the blackberry hedge, the fallen birch,
the fern hollow, the stepping stones, the bluebell bank; the neighbours

w; in the heart of a great green forest; the hollow oak, the mossy log, the bramble patch, the fox path,
the beech grove, the fairy ring; the forest animals

w; on the bank of a chattering stream; the willow tree, the stepping stones, the reed bed, the muddy bend,
the little waterfall, the shallow ford; the river animals

w; in a meadow full of buttercups; the hawthorn hedge, the sunny bank, the crooked gate, the molehills,
the clover patch, the scarecrow; the meadow folk

w; beneath the roots of a giant chestnut tree; the ivy wall, the toadstool ring, the badger bench, the
nutting grove, the dry ditch, the old stump; the woodland folk

w; at the foot of a misty blue mountain; the echo cave, the heather slope, the flat rock, the pine ridge,
the cold spring, the windy pass; the hill animals

w; by a quiet lake with lily pads; the rowing boat, the bulrushes, the pebble shore, the sunken log, the
dragonfly pool, the alder trees; the lake animals

w; behind a cosy old farmhouse; the vegetable beds, the compost heap, the water butt, the apple tree, the
potting shed, the woodpile; the farmyard animals

m; in a valley where the flowers glow at night; the singing stones, the glass pond, the moonlit arch, the
lantern trees, the velvet moss, the silver spring; the valley folk

m; in an enchanted wood with purple leaves; the wishing well, the crooked tower, the talking tree, the
spiral path, the mushroom market, the mirror lake; the little folk

m; on a floating island made of cloud; the rainbow stairs, the thunder drum, the feather garden, the star
post, the wind harp, the misty fountain; the cloud folk

m; inside a hollow hill lit by crystals; the echoing hall, the amber door, the mushroom beds, the
underground stream, the gem garden, the whistling tunnel; the hill folk

mw; at the end of a long forgotten lane; the mossy milestone, the leaning lamp post, the empty cottage,
the wild roses, the creaky stile, the puddle crossing; the neighbours
"""

RULES = {
    "small": "[little |small |young ||]",
    "who": "{a trait} <small>{kind} named {hero}",
    "habit": """[{Hero} {habit}.|Everyone knew that {hero} {habit}.|People said that {hero} {habit}.]""",
    "pal": """[{Hero} had a good friend named {friend}.|{Friend} was {hero}'s best friend.|{Hero} and {a fkind}
named {friend} did everything together.|{Hero} often played with {a fkind} named {friend}.]""",
    "open": """[Once upon a time, {where}, there lived <who>.|Once upon a time there was <who>, who lived
{where}.|{Where}, there lived <who>.|{Where} lived <who>.|There was once <who>.|{Hero} was {a trait}
<small>{kind} who lived {where}.|Not so very long ago, <who> lived {where}.|If you had been {where}, you
might have met <who>.|This is the story of {hero}, {a trait} <small>{kind} who lived {where}.|Long ago,
{where}, there lived <who>.|{Hero} lived {where}, and {he} was {a trait} <small>{kind}.]
[<pal>|<pal>|<habit> <pal>]""",
    "day": """[One morning|One afternoon|Early one Saturday|One Tuesday|One day|One breezy morning|One
golden afternoon|Just after breakfast one day|One Sunday|One quiet afternoon|Last Wednesday|One fine day]""",
    "oh": "[Oh dear|Oh no|Dear me|Oh, bother|Oh, crumbs|Good gracious|Oh, goodness]",
    "wow": "[Hooray|How wonderful|Goodness me|Well, I never|My word|Splendid|Marvellous]",
    "stuck": """[For a moment, {hero} did not know what to do. Then {he} {deed}.|Now, {hero} was {trait}, so
{he} {deed}.|Luckily, {hero} was {trait}. {He} {deed}.|{Hero} {deed}.|||]""",
    "night": """[That night, {hero} slept [like a log|like a stone in a sock|soundly and smiled in {his}
sleep|better than ever].|That evening, {hero} fell asleep with a smile.|{Hero} went home [tired and
happy|humming a tune|with a warm glow inside], and there was [a stack of pancakes|pumpkin soup|apple
crumble|hot cocoa|honey toast|noodle soup] for supper.|||||]""",
}
