"""Story plots, first part: each is the tables that tie its details together, and the text that tells it."""

from __future__ import annotations

from typing import NamedTuple


class Plot(NamedTuple):
    """A plot: (columns, rows) tables, drawn in order before the body, and the body's paragraphs."""

    tables: tuple[tuple[str, str], ...]
    body: str


LOST = Plot(
    (
        (
            "thing t dear clue place scene culprit excuse swap happy",
            """
woolly [red|green|orange] scarf; scarf; {elder} had knitted it by the fire; a thin thread of wool caught
on a thorn; a hollow log; a mother shrew was tucking three pink babies into the soft wool; the shrew; My
babies were shivering all night long; Take my thick old sock instead. It is just as warm, and the toe end
is perfect for snuggling; The shrew moved her babies into the sock, and they did not even wake up

silver whistle; whistle; {friend} had given it to {him}; a black and white feather on the window sill; the
tallest poplar; a magpie was polishing the whistle with her wing; the magpie; I cannot help it. Shiny
things make my heart sing; Would you like a shiny coat button? It sparkles, and nobody will come looking
for it; The magpie tried the button in her nest, and it [sparkled|glittered] like a tiny moon

[yellow|purple|spotted] umbrella; umbrella; it kept the rain off like a small, bright roof; a row of wet,
webbed footprints; a muddy puddle; a fat green frog was sitting in the shade of the umbrella; the frog;
The hot sun dries out my poor skin; I will plant a big rhubarb leaf here for you. It is shady, and it
never turns inside out; The frog sat under the rhubarb leaf and said it was the finest parlour he had ever
had

paper kite; kite; it had taken a whole week to make; a long piece of string lying in the grass; a steep
bank; a young goat was about to nibble the tail of the kite; the goat; I thought it was a giant
cornflower, and I had no breakfast; Come with me and I will find you some juicy dandelions. They taste
much better than paper; The goat ate two whole baskets of dandelions and burped politely

brass bell; bell; its ring sounded like laughter; a faint ding-ding on the wind; a foggy field; a lost
little calf was shaking the bell with all her might; the calf; I was hoping my mother would hear me; Climb
on that stone and moo as loud as you can, and I will ring the bell for you; In no time a big brown cow
came running, and she licked the calf from nose to tail

striped hat; hat; {he} had worn it on every adventure; a trail of straw and tiny twigs; a crooked apple
tree; a robin was sitting in the hat on four speckled eggs; the robin; I could not find a safe place for
my eggs; Then you must keep it until they hatch, and I will bring you a bit of moss to make it softer;
Three weeks later four fluffy chicks flew away, and the robin brought back the hat, washed and smelling of
blossom

wooden boat; boat; {he} and {elder} had carved it together; a curl of wood shaving on the path; a leaky
dam; a worried beaver was using the boat to plug a hole; the beaver; If I take it away, the water will
rush right through; Let us mix some clay and sticks. That makes a far stronger plug; They packed the hole
with clay until not one drop came through

little lantern; lantern; it chased the shadows from {his} room; a line of fresh, crumbly earth; a round
tunnel; a mole was reading a tiny book by the light of the lantern; the mole; My tunnel is so dark, and I
had just reached the best page; I know a glow-worm who loves stories. She would gladly shine for you; The
glow-worm moved in that very evening, and the two of them read until dawn

patchwork blanket; blanket; every patch had a story; a smear of soot and a few grey ashes; a cold chimney;
a small ghost was wrapped in the blanket from top to toe; the ghost; I have a terrible chill, and ghosts
have no coats; {elder} has an old quilt that needs somebody to keep warm. I will fetch it for you; The
ghost put on the quilt and floated off, humming with joy

wooden spoon; spoon; it had stirred every birthday cake; some sticky drops of honey; a buzzing tree; a
bear was trying to reach a honeycomb with the spoon; the bear; My arm is too short and my tummy is too
empty; Ask the bees kindly and offer them a garden of clover, and they may share; The bees agreed at once,
and the bear got his honey without a single sting

rubber ball; ball; it bounced higher than any other; a [wobbly|zigzag] track in the dust; a sunny wall; a
litter of puppies was chasing the ball round and round their tired father; the old dog; It is the first
time my pups have let me nap; Keep an eye on me, and I will show the puppies how to play hide-and-seek;
The puppies hid so well and so quietly that the old dog slept for an hour
""",
        ),
    ),
    """
<open> The thing {he} loved best was {his} {thing}, because {dear}.

<day>, the {t} was [gone|missing|nowhere to be seen]. {Hero} looked [under the bed|behind the door|in the
cupboard|beneath the rug|inside every boot|behind the flowerpots], but {he} found only [a dusty
biscuit|one lonely sock|a very surprised spider|some crumbs and a cork]. <stuck> Then, [outside the
window|near the gate|beside the doorstep], {he} saw {clue}.

[{Hero} followed the clue|{He} followed it like a detective] [past|around] {s1} until {he} came to
{place}. There, {scene}! "That is my {t}," said {hero}.

"Oh! I am [so|very|truly] sorry," said {culprit}. "{Excuse}." [{Hero} was cross, but only for a
moment.|{Hero} could not stay angry after that.||] "{Swap}," said {hero}. {Happy}.

[{Hero} carried the {t} home|With the {t} safe at last, {hero} skipped home]. ["You lost {a thing} and
found a friend," said {friend}.|"You got your {t} back by being kind," said {friend}.] <night>
""",
)

PROMISE = Plot(
    (
        (
            "task way away treat due prize",
            """
water the [tomato|bean|sunflower] seedlings before noon; gave each thirsty plant a long, cool drink; visit
a sick cousin; puppet show; the leaves were starting to droop; the plants grew so tall that {elder} needed
a ladder, and the first ripe fruit was for {hero}

feed the chickens before dark; scattered the corn and shut the little door; sell eggs at the market; game
of skittles; a hungry fox was already sniffing around; next morning the smallest hen laid a golden-brown
egg just for {hero}

keep the oven fire burning; fed the fire one log at a time; carry flour from the mill; snowball fight; the
last ember was turning grey; the bread rose beautifully, and {hero} got the crusty end with butter

stir the plum jam without stopping; stirred until {his} arm ached; buy more sugar; juggling bear; the jam
was beginning to stick; the jam set as clear as rubies, and the label on the jar said "Made by {hero}"

keep watch for the mail boat; lit the signal lamp at the right moment; mend the nets; sandcastle match; a
small sail had just come round the rocks; the captain brought a parcel of oranges, and the biggest one was
for {hero}

turn the three speckled eggs every hour; turned each egg gently and covered it with down; gather fresh
straw; leapfrog game; the eggs were growing chilly; one by one the eggs cracked, and the first chick
looked straight at {hero} and cheeped

read to the old blind badger at four o'clock; read two whole chapters, with all the voices; fetch
medicine; tug of war; the badger was already waiting in his armchair; the badger was so pleased that he
gave {hero} his own favourite book

wind the town clock at six; turned the great key forty times; have a rest at home; brass band parade; the
heavy hands were slowing down; the bells rang exactly on time, and the mayor let {hero} ring them once
more for fun

mind the sleepy baby; rocked the cradle and sang a lullaby; hang out the washing; pie-eating contest; the
baby had just begun to sniffle; the baby laughed for the very first time, and {hero} was the one who saw
it
""",
        ),
    ),
    """
<open>

<day>, {elder} had to {away}. "Will you {task}?" asked {elder}. "I promise," said {hero}. ["A promise is a
small word with big feet," said {elder}.|{Elder} smiled, because {ehe} trusted {him}.||]

[Soon|Not long after|A little later], {friend} came running [past {s1}|from {s2}|up the path]. "Come
quickly! There is {a treat} by {s3}!" {Hero} wanted to go [so much that {his} toes tingled|very, very
badly]. {He} [went as far as {s1}|took three steps], and then {he} stopped. "I cannot," {he} said. "I
promised to {task}."

{He} hurried back, and it was a good thing too, for {due}. {Hero} {way}. ["May I help you?" asked
{friend}. "It is more fun with two."|{Friend} watched for a while, and then {fhe} came to help.|"You
really meant it," said {friend}.||]

When {elder} came back, {ehe} [hugged {him}|beamed with pride|clapped {ehis} hands]. "You kept your
promise," {ehe} said. And {prize}. [Then they all went to see the {treat}, which was still going
on.|{Hero} had missed the {treat}, but {he} was not sorry at all.|{Friend} said that was even better than
{a treat}.] <night>
""",
)

STORM = Plot(
    (
        (
            "storm sound broke fix",
            """
rainstorm; The rain drummed on the roof like a thousand spoons; the footbridge; laid new planks across it

snowstorm; Snow whirled past the window in fat white feathers; the fence; propped it up and patched it
with branches

thunderstorm; Thunder rolled around the sky like giant barrels; the big signpost; dug a deep hole and set
it straight

hailstorm; Hailstones bounced off the ground like peas; the glass roof of the greenhouse; swept up the
splinters and fitted new panes

windstorm; The wind howled down the chimney like a lonely wolf; the weathercock; hammered it straight and
painted it gold

gale; Leaves and twigs and somebody's washing flew through the air; the swing; tied it up again with a
stronger rope
""",
        ),
        (
            "guest trouble brings",
            """
a soaked squirrel; My tree is swaying too much; a pocketful of hazelnuts

a shivering postman; My cart is stuck in the mud; a bag of peppermints

a family of five mice; Our front door has blown away; a crumb of very good cheese

a grumpy old tomcat; I do not like company, but I like wet fur even less; nothing but a deep, rumbling
purr

a travelling fiddler; My fiddle must not get wet; a merry tune for dancing

a lost lamb; I cannot find the flock; a fleece as soft as a pillow

a very small ghost; The noise frightens me; a soft blue light for the dark corner

a knitting spider; My web is in tatters; a warm hammock of silk

a pedlar with a heavy pack; The road has turned into a river; a tin of cinnamon biscuits
""",
        ),
        (
            "guest2 trouble2 brings2",
            """
a dripping duck; Even I think this is too much water; a sack of barley for the soup

two tired hikers; We took the wrong path at {s1}; a map and a block of chocolate

a proud white peacock; My tail is ruined; a fan of feathers to wave at the fire

a sneezing hedgehog; I rolled right into a ditch; six shiny mushrooms

the baker's boy; My loaves will be soggy; a basket of fresh rolls

a young giant, who bent double to get in; My roof is the sky, and the sky is leaking; two strong arms

a singing beggar; I have no home to hurry to; eleven songs that nobody had heard

a nervous pony; Every flash makes me jump; warm breath that heated the whole room
""",
        ),
    ),
    """
<open>

One [evening|night|afternoon], a [great|wild|terrible] {storm} came. {Sound}. {Hero} [shut the door
tight|put another log on the fire|hung a kettle over the fire] and was glad of {his} [warm|snug
little|cosy] {home}. [Then came a knock. Tap, tap, tap!|Just then somebody knocked.|All at once there was
a knock at the door.]

[It was|Outside stood] {guest}. "{Trouble}. Is there room inside?" "[Of course|Come in, come in|Please
do]!" said {hero}. A minute later, there was another knock. This time it was {guest2}. "{Trouble2}," came
the sad reply. "If we all squeeze up a little," said {hero}, "there will be space enough."

So they squeezed. One guest had brought {brings}, and the other had brought {brings2}. [{Hero} made a pot
of soup, and they told stories until the candle burned low.|They sang so loudly that they could not hear
the {storm} any more.|Soon nobody was afraid, and somebody even snored.]

In the morning the sky was [clean and blue|as clear as glass|pink and still], but the {storm} had wrecked
{broke}. "You shared your {home}," said the guests, "so we will share the work." Together they {fix}. ["A
crowded {home} is the best kind," said {hero}.|"Come back in the next storm," said {hero}, "or
sooner."|"There is always room for a friend," {hero} told {elder}.]
""",
)

RACE = Plot(
    (
        (
            "race ride rival rname boast",
            """
cart race; wobbly little cart; a speedy hare; Dash; My wheels are faster than lightning

sledge race; old wooden sledge; a strong young stag; Blaze; Nobody has ever passed me on the ice

boat race; leaky rowing boat; a sleek otter; Captain Splash; I could win this with my eyes shut

running race; pair of worn-out shoes; a long-legged crane; Stilts; I shall be back before you tie your
laces

scooter race; squeaky scooter; a swift greyhound; Rocket; Watch my dust, slowcoach

raft race; lopsided raft; a clever water rat; Skipper; You will sink before the first bend

snail-riding race; sleepy snail; a swaggering beetle; Sir Gallop; My snail eats pepper for breakfast
""",
        ),
        (
            "mishap rescue how",
            """
had run straight into a thorny hedge; pulled the thorns out one by one; "I did not look where I was
going," sniffed {rname}

had tumbled into a ditch; threw down a rope and heaved; "I was too busy looking back," groaned {rname}

was stuck in thick, gluey mud; fetched a plank and pushed; "I took a short cut, and it was a long one,"
said {rname}

was tangled in an old fishing net; nibbled and tugged at the knots; "I was waving to the crowd," mumbled
{rname}

was sitting on the ground with a sprained ankle; tied a handkerchief around it; "I jumped when I should
have stepped," said {rname}
""",
        ),
        (
            "result",
            """
So the two of them crossed the line side by side, last of all, and the cheer was the loudest of the day

They finished together, and the judge broke the prize cake into two equal halves

{Hero} came last, but the winner gave {him} the blue ribbon, because stopping to help is harder than
running fast

"You first," said {rname} at the finish, and {hero} won by the width of a whisker

They came in third, side by side, and third prize turned out to be a picnic for two
""",
        ),
    ),
    """
<open> More than anything, {hero} wanted to [enter|join|finish] the [great|yearly|famous] {race}. All {he}
had was {a ride}. ["It has character," said {friend} kindly.||]

On the day of the race, {crowd} gathered by {s1}. Next to {hero} stood {rival} named {rname}. "{Boast},"
said {rname}[ with a grin| with a yawn|]. {Hero} only [smiled|gulped|nodded]. "Ready, steady, go!" shouted
{elder}, and off they went around {s2}. {Rname} was soon [far ahead|out of sight]. {Hero} [came puffing
along behind|was slow but steady|kept going, one bit at a time].

Then, just [round the last bend|before the finish|over the hill], {hero} saw that {rname} {mishap}.
[{Hero} could win!|The way was clear.] [But {he} heard a small, sad sound.|But a friend in trouble is a
friend in trouble.] {Hero} stopped at once. {He} {rescue}. {How}. "Why did you help me?" "[Because you
needed it|Because a race is only a race]," said {hero}.

{Result}. [From then on|After that], {rname} and {hero} [trained together every week|were the best of
friends|raced for fun and never for bragging]. <night>
""",
)

NEWCOMER = Plot(
    (
        (
            "habit2 skill game stuckat solve",
            """
hid behind a big scarf; could climb like a cat; catch; the ball landed on the highest branch of all;
climbed up as quick as a wink and threw it down

spoke in a whisper; could hear the tiniest sound; hide-and-seek; the smallest player could not be found
anywhere; heard a tiny sneeze inside a barrel and lifted the lid

always looked at the ground; knew every track and trail; treasure hunt; nobody could find the last clue;
pointed to a fresh footprint under a fern, and there it was

sat alone with a notebook; could draw anything at all; explorers; they lost their way home; had drawn
every turning on a neat little map

hummed when nobody was near; had a voice like a silver flute; concert; the singer lost her voice; stood
up, shook all over, and sang the whole song

carried a bag of odd string; could tie forty knots; pirates; the raft began to float away; threw a loop
around the mast and tied it fast

blushed at every hello; could whistle to birds; kite flying; the kite got stuck on the roof; whistled
three notes, and a swallow tugged the kite free

never took off a pair of [blue|green] mittens; could make the best snowballs and sandcastles; castles; the
tall tower kept falling down; mixed in a little water and patted it until it stood like stone

stood at the edge with a tin box; could mend the trickiest toys; train drivers; the engine would not turn
its wheels; opened the tin box, found a tiny spring and made the wheels spin
""",
        ),
        (
            "offer",
            """
left a [pear|plum|ginger biscuit] on the doorstep with a note that said "Hello"

sat down close by, said nothing, and shared [a sandwich|some raisins|an apple]

waved every day, first from far away and then a little nearer

asked only one small question, "Do you like [puddles|pancakes|stars]?" and waited for the answer

brought over a [cup of warm milk|bunch of daisies|slice of carrot cake] and put it down with a smile
""",
        ),
    ),
    """
<open>

<day>, somebody new moved in near {s1}. It was {a okind} named {other}, who {habit2}. ["Perhaps {ohe} is
unfriendly," said {friend}.|"Why does {ohe} not talk?" asked {friend}.] "I think {ohe} is only shy," said
{hero}. ["I was shy once too."|"New places can be scary."||]

[So|The next day,] {hero} {offer}. [At first {other} said nothing, but on the third day there was a tiny
smile.|{Other} peeped out and did not run away.] "We are going to play {game} by {s2}," said {hero}. "You
can watch, and you can join in whenever you like."

{Other} came and watched. Then something went wrong: {stuckat}! [Nobody knew what to do.||] All at once,
{other} stepped forward. Nobody had guessed that {ohe} {skill}. {Ohe} {solve}.

"<wow>!" cried {friend}. "[That was amazing|We need you on our team|Please play with us every day]!"
{Other} [turned pink|looked up and grinned|laughed out loud]. "[I wanted to say hello all along|I was
afraid you would not like me]," {ohe} said. [From that day on, the three friends always played
together.|After that, nobody ever had to watch from the edge again.|{Hero} was glad {he} had waited.]
""",
)

MENDED = Plot(
    (
        (
            "thing t voice part hint found",
            """
music box; music box; played a waltz; tiny brass wheel; It is round and yellow, and it ticks when you
shake it; inside a broken toy train

cuckoo clock; clock; called out the hours; little spring; It is curly, like a pig's tail; in a drawer full
of rusty pens

accordion; accordion; wheezed out sea songs; scrap of soft leather; It is bendy and smells of boots; on
the sole of a worn-out slipper

weather house; weather house; told when rain was coming; thin strand of wire; It is as thin as a whisker;
around the neck of an empty jam jar

rocking chair; chair; creaked in a friendly way; curved piece of ash wood; It is bent like a smile; in the
handle of a cracked bucket

spinning wheel; wheel; sang as it turned; strong cord; It is long, and it once went fishing; on a
forgotten fishing rod

telescope; telescope; showed the rings of Saturn; clear round lens; You can look through it, and it makes
ants look like elephants; in a pair of lost spectacles

teapot; teapot; poured without one drip; cork stopper; It floats, and it pops; under the stairs, beside an
empty bottle

toy theatre; theatre; opened its curtain by magic; smooth button; It has four holes but it is not a
whistle; on the coat of the scarecrow

wind chime; wind chime; tinkled in the breeze; hollow reed; It is a straw that never met a drink; in the
marshy ground beyond the fence
""",
        ),
    ),
    """
<open> In {elder}'s room stood {a old} {thing} that {voice}. [{Elder} had owned it since {ehe} was
small.|{Hero} loved it more than any toy.||]

<day>, the {t} [stopped working|broke|broke with a sad little sound]. [{Elder} tried to smile, but {ehis}
eyes were sad.|"Nothing lasts for ever," said {elder}.] "I will mend it," said {hero}. {He} looked inside
with {friend}. "See," said {friend}, "one part is missing. We need {a part}." <stuck>

They went to ask {ahelper} who lived near {s2}. "I will give you a riddle," said the {helper}. "{Hint}.
Look where [nobody looks any more|things are forgotten|others see only rubbish]." [They searched by {s3},
but it was not there.|First they found only [nettles|cobwebs|a bent fork].||] Then {friend} shouted, "I
have it!" And there it was, {found}: {a part}.

[With a steady touch|Very slowly|With {his} tongue between {his} teeth], {hero} put the part in its place.
[Click!|Snap!|] The {t} was as good as new, and once again it {voice}. {Elder} [laughed and cried at the
same time|danced right around the room|hugged them both]. "[Old things only need someone who cares|A
broken thing is just a thing that is waiting for a friend]," {ehe} said. <night>
""",
)

PLOTS_A = {
    "lost": LOST,
    "promise": PROMISE,
    "storm": STORM,
    "race": RACE,
    "newcomer": NEWCOMER,
    "mended": MENDED,
}
